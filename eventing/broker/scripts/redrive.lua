#!lua name=clarion_redrive
-- clarion_redrive: send dead letters of a trigger to its subscriber again, as if for the first time.
--
-- KEYS[1]  {ns/broker/p}
-- ARGV[1]  uid of the trigger
-- ARGV[2]  now, Unix time in ms
-- ARGV[3]  place of dead letters (eventing/broker/page.py)
-- ARGV[4..] ids
--
-- A dead letter stays one until its delivery is settled, so nothing is lost on the way; one that is under
-- way already is not sent twice. The owner sees it with its next renewal, within a second.
-- Returns how many will be sent. Needs no epoch: it only adds to what waits.
redis.register_function('clarion_redrive', function(keys, args)
  local tag, uid, count = keys[1], args[1], 0
  for i = 4, #args do
    local ref = 'r' .. args[i]
    if redis.call('XRANGE', tag .. ':dead:' .. uid, args[i], args[i])[1] then
      if not redis.call('ZSCORE', tag .. ':backlog:' .. uid, ref .. ' 1') then
        redis.call('ZADD', tag .. ':retries', args[2], uid .. ' 1 ' .. ref)
        redis.call('ZADD', tag .. ':waiting:' .. uid, args[3], '1 ' .. ref)
      end
      count = count + 1
    end
  end
  return count
end)
