-- Differences of the days from $2 to $3, on a lane ($1) or on all.
select lane, reason, state, coalesce(their_currency, our_currency) as currency, count(*) as count,
  cast(coalesce(sum(coalesce(theirs, ours)), 0) as bigint) as minor
from differences where day between $2 and $3 and ($1 is null or lane = $1)
group by lane, reason, state, coalesce(their_currency, our_currency)
order by lane, reason, state, coalesce(their_currency, our_currency)
