-- wrk: N events, each with its own id, then stop. One thread; ids are the numbers 1 .. N after a prefix.
--
-- Arguments after `--`: prefix N bytes connections batch. A batch of more than one event is one request, in batched
-- content mode; N is a multiple of it. Prints one JSON line {"events", "began_s", "seconds"} and ends the process as
-- soon as the last answer has come: wrk itself would wait for its -d. No answer is looked at (that would cost
-- more than sending): whether each event was accepted is asked of who received them.
local ffi = require('ffi')
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } when_t;
  int clock_gettime(int clock, when_t *when);
]]
local when = ffi.new('when_t')
local function now()
  ffi.C.clock_gettime(1, when)
  return tonumber(when.seconds) + tonumber(when.nanoseconds) / 1e9
end

local prefix, total, connections, head, tail, began
local made, idle, verified = 0, 0, false
local batch, parts, before, after = 1, {}, nil, nil

function init(args)
  prefix, total, connections, batch = args[1], tonumber(args[2]), tonumber(args[4]), tonumber(args[5])
  local start = 'POST ' .. wrk.path .. ' HTTP/1.1\r\nHost: ' .. wrk.headers['Host'] .. '\r\nContent-Type: '
  local body = '"' .. string.rep('x', tonumber(args[3]) - 2) .. '"'
  if batch == 1 then
    head = start .. 'application/json\r\nce-specversion: 1.0\r\nce-type: bench\r\nce-source: /bench\r\nce-id: '
    tail = '\r\nContent-Length: ' .. #body .. '\r\n\r\n' .. body
  else
    head = start .. 'application/cloudevents-batch+json\r\nContent-Length: '
    before = '{"specversion":"1.0","type":"bench","source":"/bench","datacontenttype":"application/json","id":"'
    after = '","data":' .. body .. '}'
  end
end

local function message(number)
  if batch == 1 then
    return head .. prefix .. number .. tail
  end
  for i = 1, batch do
    parts[i] = before .. prefix .. (number + i - 1) .. after
  end
  local body = '[' .. table.concat(parts, ',') .. ']'
  return head .. #body .. '\r\n\r\n' .. body
end

-- Asked whenever a connection may send, so one that comes here has its answer to the last one. Nothing to send
-- is the empty string: that connection rests. (`delay` could say so too; it costs wrk a timer an event.)
function request()
  if not began then
    if not verified then -- wrk tries the script before it sends anything
      verified = true
      return message(1)
    end
    began = now()
  end
  if made == total then
    idle = idle + 1
    if idle == connections then
      io.write(string.format('{"events": %d, "began_s": %.6f, "seconds": %.6f}\n', made, began, now() - began))
      io.flush()
      os.exit(0)
    end
    return ''
  end
  made = made + batch
  return message(made - batch + 1)
end
