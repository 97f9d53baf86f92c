-- What the payments and refunds of the statements of a lane ($1) from one day ($2) to another ($3) add up to, by the gateway's word for
-- their state and by their currencies, $4 at most.
select l.kind, l.state, l.currency, l.fee_currency, l.settled_currency,
  count(l.amount), cast(coalesce(sum(l.amount), 0) as bigint), count(l.fee), cast(coalesce(sum(l.fee), 0) as bigint),
  count(l.settled), cast(coalesce(sum(l.settled), 0) as bigint)
-- `cross join`: the statements of the days, then the lines of each.
from statements as s cross join statement_lines as l
where s.lane = $1 and s.day between $2 and $3 and s.pruned_at is null and l.statement_id = s.id and l.kind in ('payment', 'refund')
group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5 limit $4
