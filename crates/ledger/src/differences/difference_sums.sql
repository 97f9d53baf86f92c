-- Differences of the days from $2 to $3 on a lane ($1) or on all; or those that reconciliations of a run ($4) found.
select d.lane, d.reason, d.state, coalesce(d.their_currency, d.our_currency) as currency, count(*) as count,
  cast(coalesce(sum(case when d.our_currency = coalesce(d.their_currency, d.our_currency) then d.ours end), 0) as bigint) as ours,
  cast(coalesce(sum(d.theirs), 0) as bigint) as theirs
from differences as d
where ($1 is null or d.lane = $1) and ($2 is null or d.day >= $2) and ($3 is null or d.day <= $3)
  -- `cross join`: the run's jobs first, then the items of each by their ids.
  and ($4 is null or d.found_in in (select i.id from jobs as j cross join items as i where j.run_id = $4 and j.kind = 'reconcile'
    and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807) and i.job_id = j.id))
group by d.lane, d.reason, d.state, coalesce(d.their_currency, d.our_currency)
order by d.lane, d.reason, d.state, coalesce(d.their_currency, d.our_currency)
