-- What became of differences ($1), by whom ($2), now ($3).
insert into difference_events (difference_id, version, at, event, to_state, actor, note)
select cast(value ->> 'difference_id' as bigint), cast(value ->> 'version' as bigint), cast($3 as bigint), value ->> 'event',
  value ->> 'to_state', $2, value ->> 'note'
from json_each($1) where true
