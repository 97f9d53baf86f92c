-- Items that name one payment by different numbers, of what has not come to nothing. At most $1.
with doubtful as (
  select payment_theirs as number from items where payment_theirs is not null
  group by payment_theirs having min(payment_written) < max(payment_written)
  union
  select payment_ours from items where payment_ours is not null
  group by payment_ours having min(payment_written) < max(payment_written)
  union
  select payment_part from items where payment_part is not null
  group by payment_part having min(payment_written) < max(payment_written)
)
select d.number, i.id, i.payment_written from doubtful as d join items as i on i.payment_theirs = d.number
where i.state not in ('failed', 'cancelled', 'rejected', 'skipped')
union
select d.number, i.id, i.payment_written from doubtful as d join items as i on i.payment_ours = d.number
where i.state not in ('failed', 'cancelled', 'rejected', 'skipped')
union
select d.number, i.id, i.payment_written from doubtful as d join items as i on i.payment_part = d.number
where i.state not in ('failed', 'cancelled', 'rejected', 'skipped')
order by 1, 2 limit $1
