-- A lane ($1) as a claim meets it: its switch, its token bucket ($2), and how slow a person has set it.
select l.state, l.until, b.tokens, b.filled_at, m.rate_calls, m.rate_per,
  -- What persons have paused: all of this lane, or some workflows.
  (select count(*) from pauses where scope = 'all' or (scope = 'gateway' and name = $1)) as paused,
  (select count(*) from pauses where scope = 'workflow') as workflows
-- One row comes back even where nothing is known of the lane yet.
from (select 1 as one) as always left join lanes as l on l.name = $1 left join token_buckets as b on b.name = $2
  left join lane_limits as m on m.name = $1
