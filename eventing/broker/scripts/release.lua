#!lua name=clarion_release_held
-- clarion_release_held: move held events that are due to the end of their partition's stream.
--
-- KEYS[1]  {ns/broker/p}; its held events, their due times and its stream stand below it (eventing/keys.py)
-- ARGV[1]  most events to move in this call, so that the store is not blocked for long
--
-- Returns {events moved, Unix ms at which the next is due or ""}. One call is atomic: an event is held or in the
-- stream, never both and never neither, whoever calls and however often. So no epoch is needed.
-- allow-oom: what is moved was accepted.
redis.register_function{function_name = 'clarion_release_held', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  local now = redis.call('TIME')
  local clock = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
  local due = redis.call('ZRANGEBYSCORE', tag .. ':due', '-inf', clock, 'LIMIT', 0, args[1])
  local moved
  for _, id in ipairs(due) do
    local found = redis.call('XRANGE', tag .. ':held', id, id)[1]
    if found then
      moved = redis.call('XADD', tag .. ':events', '*', unpack(found[2]))
      redis.call('XDEL', tag .. ':held', id)
    end
    redis.call('ZREM', tag .. ':due', id)
  end
  if moved then
    local millisecond, sequence = moved:match('^(%d+)%-(%d+)$')
    if tonumber(sequence) >= 1000 then -- as in append.lua
      redis.call('XSETID', tag .. ':events', string.format('%.0f-0', tonumber(millisecond) + 1))
    end
  end
  return {#due, redis.call('ZRANGE', tag .. ':due', 0, 0, 'WITHSCORES')[2] or ''}
end}
