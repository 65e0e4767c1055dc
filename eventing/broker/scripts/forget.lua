#!lua name=clarion_forget
-- What is left of a trigger or a broker when it has been deleted.
--
-- KEYS[1]  {ns/broker/p}
-- ARGV[1]  epoch
-- Both are refused with FENCED when there is a newer epoch.

local function fenced(tag, epoch)
  return redis.call('GET', tag .. ':epoch') ~= epoch
end

-- clarion_forget: remove a deleted trigger's backlog, retries and dead letters.
-- ARGV[2]  uid of the trigger
-- ARGV[3]  how many retries to remove in one call, at the most
-- Returns how many are left; with the last of them everything else goes.
redis.register_function{function_name = 'clarion_forget', flags = {'allow-oom'}, callback = function(keys, args)
  local tag, uid = keys[1], args[2]
  if fenced(tag, args[1]) then
    return redis.error_reply('FENCED another dispatcher owns this partition')
  end
  local waiting = tag .. ':waiting:' .. uid
  for _, member in ipairs(redis.call('ZRANGE', waiting, 0, args[3] - 1)) do
    redis.call('ZREM', tag .. ':retries', uid .. ' ' .. member)
    redis.call('ZREM', waiting, member)
  end
  local left = redis.call('ZCARD', waiting)
  if left == 0 then
    redis.call('UNLINK', tag .. ':backlog:' .. uid, tag .. ':dead:' .. uid)
    redis.call('SREM', tag .. ':lanes', uid)
  end
  return left
end}

-- clarion_erase: remove everything of a partition whose broker was deleted, its epoch and lease too.
redis.register_function{function_name = 'clarion_erase', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  if fenced(tag, args[1]) then
    return redis.error_reply('FENCED another dispatcher owns this partition')
  end
  for _, uid in ipairs(redis.call('SMEMBERS', tag .. ':lanes')) do
    redis.call('UNLINK', tag .. ':backlog:' .. uid, tag .. ':waiting:' .. uid, tag .. ':dead:' .. uid)
  end
  redis.call('UNLINK', tag .. ':events', tag .. ':spared', tag .. ':state', tag .. ':resolved', tag .. ':retries',
    tag .. ':hand', tag .. ':failures', tag .. ':lanes', tag .. ':records', tag .. ':seen', tag .. ':held', tag .. ':due',
    tag .. ':lease', tag .. ':epoch')
  return 1
end}
