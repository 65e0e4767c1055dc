#!lua name=clarion_append
-- clarion_append: add events to the end of one partition, all or none.
--
-- KEYS[1]  {ns/broker/p}:events, the stream of the partition
-- ARGV[1]  one character an event, in order: "d" it has data, "-" it has none
-- ARGV[2]  attributes of the first event, a JSON object of strings
-- ARGV[3]  data of the first event, if it has data
-- ...      attributes, and data if any, of the next events
--
-- Returns the id of the last entry. The clock stands still while a function runs, so the ids before it
-- are the same millisecond with sequence numbers that count down by one.
-- Refused before anything is written: out of memory, read-only replica, disk that cannot be written.
redis.register_function('clarion_append', function(keys, args)
  local stream, shapes, at, id = keys[1], args[1], 2, nil
  for i = 1, #shapes do
    if shapes:byte(i) == 100 then -- "d"
      id = redis.call('XADD', stream, '*', 'a', args[at], 'd', args[at + 1])
      at = at + 2
    else
      id = redis.call('XADD', stream, '*', 'a', args[at])
      at = at + 1
    end
  end
  return id
end)
