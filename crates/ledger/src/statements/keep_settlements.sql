-- Settlement batches ($2) of a lane ($1) as they were seen now ($3). What is settled is never anything else again.
insert into settlements (lane, batch_id, state, facts, first_seen, last_seen)
select $1, value ->> 'batch_id', value ->> 'state', value ->> 'facts', cast($3 as bigint), cast($3 as bigint)
from json_each($2) where true
on conflict (lane, batch_id) do update set state = excluded.state, facts = excluded.facts, last_seen = excluded.last_seen
  where settlements.state <> 'SETTLED' or excluded.state = 'SETTLED'
