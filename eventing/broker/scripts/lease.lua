#!lua name=clarion_lease
-- The right to read and settle one partition: one owner at a time, for as long as it renews.
--
-- KEYS[1]  {ns/broker/p}; its lease, epoch and all that a new owner has to know stand below it
--          (eventing/keys.py)
--
-- The epoch is what protects: every write of an owner names the epoch it was given, and is refused once
-- another has been given out. The lease only decides who may ask for one. A partition that was deleted
-- takes up its epochs at the clock's microseconds, so that none is given out twice.
--
-- allow-oom, here and in the other functions of the owner: a full store is emptied by going on.

-- clarion_acquire: become the owner, unless there is one.
-- ARGV[1]  name of the dispatcher
-- ARGV[2]  length of the lease, ms
-- Returns {epoch, floor, resolved pairs, {uid, entries in its backlog, ...}, next due or ""}
--      or {0, ms that the present owner has left}
redis.register_function{function_name = 'clarion_acquire', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  local left = redis.call('PTTL', tag .. ':lease')
  if left > 0 and redis.call('GET', tag .. ':lease') ~= args[1] then
    if left > tonumber(args[2]) then -- the clock was stepped back: no lease is that long
      left = tonumber(args[2])
      redis.call('PEXPIRE', tag .. ':lease', left)
    end
    return {0, left}
  end
  local now = redis.call('TIME')
  local clock = tonumber(now[1]) * 1000000 + tonumber(now[2])
  local epoch = math.max(clock, tonumber(redis.call('GET', tag .. ':epoch') or '0') + 1)
  redis.call('SET', tag .. ':epoch', string.format('%.0f', epoch))
  redis.call('SET', tag .. ':lease', args[1], 'PX', args[2])
  local backlogs = {}
  for _, uid in ipairs(redis.call('SMEMBERS', tag .. ':lanes')) do
    backlogs[#backlogs + 1] = uid
    backlogs[#backlogs + 1] = redis.call('ZCARD', tag .. ':backlog:' .. uid)
  end
  local due = redis.call('ZRANGE', tag .. ':retries', 0, 0, 'WITHSCORES')
  return {string.format('%.0f', epoch), redis.call('HGET', tag .. ':state', 'floor') or '0-0',
    redis.call('SMEMBERS', tag .. ':resolved'), backlogs, due[2] or ''}
end}

-- clarion_renew: stay the owner; also after the lease has run out, if nobody else came.
-- ARGV[1]  name of the dispatcher
-- ARGV[2]  length of the lease, ms
-- ARGV[3]  epoch
-- Returns the next due time of a retry or "". Refused with FENCED when there is a newer epoch.
redis.register_function{function_name = 'clarion_renew', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  if redis.call('GET', tag .. ':epoch') ~= args[3] then
    return redis.error_reply('FENCED another dispatcher owns this partition')
  end
  redis.call('SET', tag .. ':lease', args[1], 'PX', args[2])
  return redis.call('ZRANGE', tag .. ':retries', 0, 0, 'WITHSCORES')[2] or ''
end}

-- clarion_release: let go at once, so that the next owner need not wait for the lease to end.
-- ARGV[1]  name of the dispatcher
-- ARGV[2]  epoch
-- Returns 1, or 0 when there is a newer epoch.
redis.register_function{function_name = 'clarion_release', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  if redis.call('GET', tag .. ':epoch') ~= args[2] or redis.call('GET', tag .. ':lease') ~= args[1] then
    return 0
  end
  redis.call('DEL', tag .. ':lease')
  return 1
end}

-- clarion_living: say that a dispatcher lives, or (with 0 ms) that it leaves.
-- KEYS[1]  clarion:dispatchers
-- ARGV[1]  name of the dispatcher
-- ARGV[2]  ms for which that may be believed
-- Returns the names of all that live.
redis.register_function{function_name = 'clarion_living', flags = {'allow-oom'}, callback = function(keys, args)
  local now = redis.call('TIME')
  local clock = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
  local life = tonumber(args[2])
  redis.call('ZADD', keys[1], clock + life, args[1])
  if life > 0 then -- believed for longer than that: the clock was stepped back since
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', keys[1], '(' .. clock + life, '+inf')) do
      redis.call('ZADD', keys[1], clock + life, name)
    end
  end
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', clock)
  return redis.call('ZRANGE', keys[1], 0, -1)
end}
