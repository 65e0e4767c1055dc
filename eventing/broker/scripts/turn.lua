#!lua name=clarion_turn
-- clarion_turn: ask for a turn of a trigger, keep it, or give it back. So many partitions have one at a time.
--
-- KEYS[1]  {clarion:turns:UID}
-- ARGV[1]  who asks: a partition, and the epoch of its owner
-- ARGV[2]  how many turns there are
-- ARGV[3]  for how long a turn is had unless it is kept, ms
-- ARGV[4]  1: wanted, 0: given back
--
-- They are given out in the order in which they were asked for; who does not ask again for as long has left.
-- Returns {1 if it is had, how many others wait}.
redis.register_function{function_name = 'clarion_turn', flags = {'allow-oom'}, callback = function(keys, args)
  local had, waiting, seen = keys[1] .. ':had', keys[1] .. ':waiting', keys[1] .. ':seen'
  local name, turns, life = args[1], tonumber(args[2]), tonumber(args[3])
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  redis.call('ZREMRANGEBYSCORE', had, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', had, '(' .. now + life, '+inf') -- the clock was stepped back since
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', now)) do
    redis.call('ZREM', waiting, gone)
    redis.call('ZREM', seen, gone)
  end
  if args[4] == '0' then
    for _, key in ipairs({had, waiting, seen}) do
      redis.call('ZREM', key, name)
    end
    return {0, redis.call('ZCARD', waiting)}
  end
  if not redis.call('ZSCORE', had, name) then
    redis.call('ZADD', waiting, 'NX', now, name)
    redis.call('ZADD', seen, now + life, name)
    for _, key in ipairs({waiting, seen}) do
      redis.call('PEXPIRE', key, life * 2)
    end
    if redis.call('ZCARD', had) + redis.call('ZRANK', waiting, name) >= turns then
      return {0, redis.call('ZCARD', waiting) - 1}
    end
    redis.call('ZREM', waiting, name)
    redis.call('ZREM', seen, name)
  end
  redis.call('ZADD', had, now + life, name)
  redis.call('PEXPIRE', had, life * 2)
  return {1, redis.call('ZCARD', waiting)}
end}
