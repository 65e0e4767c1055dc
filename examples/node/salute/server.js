// Any program that serves PORT is a function: this one greets whoever an event names.
const http = require("node:http");

const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const name = body ? JSON.parse(body).name : "world";
    console.log(`${request.method} ${request.headers["ce-type"] ?? request.url}: hello ${name}`);
    response.writeHead(200, {
      "content-type": "application/json",
      "ce-specversion": "1.0",
      "ce-type": "greeting.made",
      "ce-source": "/salute",
      "ce-id": `reply-${request.headers["ce-id"] ?? process.hrtime.bigint()}`,
    });
    response.end(JSON.stringify({ message: `Hello ${name}`, from: process.version }));
  });
});

server.listen(Number(process.env.PORT), "127.0.0.1");
// SIGTERM asks to finish: answer what is there, take nothing more.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
