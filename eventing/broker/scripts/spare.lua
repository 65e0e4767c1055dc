#!lua name=clarion_spare
-- Entries that triggers wait for, kept beside the stream, so that retention need not keep all that came after them.
--
-- KEYS[1]  {ns/broker/p}
-- Everything that waits at or below the place `spared` of the state has a copy in {ns/broker/p}:spared. Below the
-- floor nothing begins to wait, so what one call saw may be more than the next one needs, and is never less.

-- clarion_spared: what there is to go by.
-- Returns {floor, place up to which all is spared, {id that has a copy, ...}, {uid of a trigger, ...}}.
redis.register_function{function_name = 'clarion_spared', flags = {'no-writes'}, callback = function(keys)
  local tag = keys[1]
  local state = redis.call('HMGET', tag .. ':state', 'floor', 'spared')
  return {state[1] or '0-0', state[2] or '-1', redis.call('HKEYS', tag .. ':spared'),
    redis.call('SMEMBERS', tag .. ':lanes')}
end}

-- clarion_waited: entries that triggers wait for, in their backlogs or for a retry.
-- ARGV[1]  place: only after it
-- ARGV[2]  place: only up to it
-- ARGV[3]  how many at the most, of each trigger's backlog and retries
-- ARGV[4..] uids of triggers
-- Returns {place, id, ...}; one that several wait for is there several times.
redis.register_function{function_name = 'clarion_waited', flags = {'no-writes'}, callback = function(keys, args)
  local tag, waited = keys[1], {}
  for i = 4, #args do
    for name, pattern in pairs({backlog = '^%S+', waiting = '%S+$'}) do
      local found = redis.call('ZRANGEBYSCORE', tag .. ':' .. name .. ':' .. args[i], '(' .. args[1], args[2],
        'WITHSCORES', 'LIMIT', 0, args[3])
      for at = 1, #found, 2 do
        waited[#waited + 1] = found[at + 1]
        waited[#waited + 1] = found[at]:match(pattern)
      end
    end
  end
  return waited
end}

-- clarion_spare: drop copies that nobody waits for, and make others.
-- ARGV[1]  epoch
-- ARGV[2]  about how many bytes of events to copy
-- ARGV[3]  how many ids follow of which the copies go
-- ARGV[4..] these; then places and ids of entries to be copied, in their order: all that wait up to the last of them
-- Returns how many were copied. Refused with FENCED when there is a newer epoch.
redis.register_function{function_name = 'clarion_spare', flags = {'allow-oom'}, callback = function(keys, args)
  local tag, bytes, gone = keys[1], tonumber(args[2]), tonumber(args[3])
  if redis.call('GET', tag .. ':epoch') ~= args[1] then
    return redis.error_reply('FENCED another dispatcher owns this partition')
  end
  for i = 4, 3 + gone do
    redis.call('HDEL', tag .. ':spared', args[i])
  end
  local copied = 0
  for i = 4 + gone, #args, 2 do
    if bytes <= 0 then
      break
    end
    local entry = redis.call('XRANGE', tag .. ':events', args[i + 1], args[i + 1])[1]
    if entry then
      local packed = cmsgpack.pack(entry[2])
      redis.call('HSET', tag .. ':spared', args[i + 1], packed)
      bytes = bytes - #packed
    end
    redis.call('HSET', tag .. ':state', 'spared', args[i])
    copied = copied + 1
  end
  return copied
end}
