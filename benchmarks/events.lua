-- wrk: N events, each with its own id, then stop. One thread; ids are the numbers 1 .. N after a prefix.
--
-- Arguments after `--`: prefix N bytes connections. Prints one JSON line {"events", "began_s", "seconds"} and ends the process as
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

function init(args)
  prefix, total, connections = args[1], tonumber(args[2]), tonumber(args[4])
  local path = wrk.path
  head = 'POST ' .. path .. ' HTTP/1.1\r\nHost: ' .. wrk.headers['Host'] ..
    '\r\nContent-Type: application/json\r\nce-specversion: 1.0\r\nce-type: bench\r\nce-source: /bench\r\nce-id: '
  local body = '"' .. string.rep('x', tonumber(args[3]) - 2) .. '"'
  tail = '\r\nContent-Length: ' .. #body .. '\r\n\r\n' .. body
end

-- Asked whenever a connection may send, so one that comes here has its answer to the last one. Nothing to send
-- is the empty string: that connection rests. (`delay` could say so too; it costs wrk a timer an event.)
function request()
  if not began then
    if not verified then -- wrk tries the script before it sends anything
      verified = true
      return head .. prefix .. 0 .. tail
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
  made = made + 1
  return head .. prefix .. made .. tail
end
