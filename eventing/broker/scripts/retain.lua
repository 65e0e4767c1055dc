#!lua name=clarion_retain
-- KEYS[1]  {ns/broker/p}:events, the stream of the partition

-- clarion_retain: remove the oldest entries of a partition that nobody needs, a bounded number a call.
-- ARGV[1]  id: neither it nor anything after it is removed. The least of the floor, of the heads of the
--          backlogs and of the oldest entry that waits for a retry; only the owner knows it
-- ARGV[2]  id: entries before it are too old
-- ARGV[3]  most entries to keep
-- ARGV[4]  most bytes to keep, as MEMORY USAGE counts them
-- ARGV[5]  most entries to remove in this call, so that the store is not blocked for long
--
-- Returns how many entries were removed: that most, when there may be more to do. Only whole nodes of the
-- stream go, so a few entries that could go stay until their neighbours can.
local function before(a, b) -- whether id a comes before id b
  local a_ms, a_seq = a:match('^(%d+)%-?(%d*)$')
  local b_ms, b_seq = b:match('^(%d+)%-?(%d*)$')
  if a_ms ~= b_ms then
    return tonumber(a_ms) < tonumber(b_ms)
  end
  return (tonumber(a_seq) or 0) < (tonumber(b_seq) or 0)
end

local function to_keep(stream, length, entries, bytes) -- how many entries
  local used = redis.call('MEMORY', 'USAGE', stream) or 0
  return math.min(tonumber(entries), math.floor(length * math.min(1, tonumber(bytes) / math.max(1, used))))
end

redis.register_function('clarion_retain', function(keys, args)
  local stream, needed, oldest, most = keys[1], args[1], args[2], tonumber(args[5])
  local length = redis.call('XLEN', stream)
  if length == 0 then
    return 0
  end
  local old = before(needed, oldest) and needed or oldest
  local removed = redis.call('XTRIM', stream, 'MINID', '~', old, 'LIMIT', most)
  length = length - removed
  local excess = math.min(length - to_keep(stream, length, args[3], args[4]), most - removed)
  if excess > 0 then
    removed = removed + redis.call('XTRIM', stream, 'MINID', '~', needed, 'LIMIT', excess)
  end
  return removed
end)

-- clarion_is_over: whether a partition has an entry that is too old, or too much.
-- ARGV[1..3] as ARGV[2..4] of clarion_retain
redis.register_function{function_name = 'clarion_is_over', flags = {'no-writes'}, callback = function(keys, args)
  local stream, length = keys[1], redis.call('XLEN', keys[1])
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return ((first and before(first[1], args[1])) or length > to_keep(stream, length, args[2], args[3])) and 1 or 0
end}
