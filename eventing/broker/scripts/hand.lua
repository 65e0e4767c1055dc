#!lua name=clarion_hand
-- clarion_hand: what the owner of a partition has in hand, told for people; forgotten soon after its owner.
--
-- KEYS[1]  {ns/broker/p}
-- ARGV[1]  epoch
-- ARGV[2]  ms for which it is believed
-- ARGV[3..] field, value, ... of {ns/broker/p}:hand (eventing/keys.py); none: nothing is in hand
--
-- Refused with FENCED when there is a newer epoch.
redis.register_function{function_name = 'clarion_hand', flags = {'allow-oom'}, callback = function(keys, args)
  local tag = keys[1]
  if redis.call('GET', tag .. ':epoch') ~= args[1] then
    return redis.error_reply('FENCED another dispatcher owns this partition')
  end
  local hand = tag .. ':hand'
  redis.call('DEL', hand)
  for at = 3, #args, 2 do
    redis.call('HSET', hand, args[at], args[at + 1])
  end
  redis.call('PEXPIRE', hand, args[2])
  return 1
end}
