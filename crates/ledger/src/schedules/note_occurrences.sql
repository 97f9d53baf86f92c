-- Times ($2) of a workflow's schedule ($1), noted now ($3).
insert into occurrences (workflow, nominal, at, timezone, state, reason, changed_at)
select $1, value ->> 'nominal', cast(value ->> 'at' as bigint), value ->> 'timezone', value ->> 'state', value ->> 'reason',
  cast($3 as bigint)
from json_each($2) where true
-- What was given up only because a clock was ahead by more than $4 is due again.
on conflict (workflow, nominal) do update set state = excluded.state, at = excluded.at, reason = excluded.reason,
    changed_at = excluded.changed_at
  where excluded.state = 'due' and occurrences.state in ('missed', 'skipped') and occurrences.changed_at > excluded.changed_at + $4
