-- The items of a payment ($1) beside this one ($2): how much they are, whether one is under way, and when it was known of the last
-- that the gateway had it.
select cast(coalesce(sum(amount), 0) as bigint) as sum,
  -- One whose amount is not there: what was given back together cannot be said then.
  min(case when amount is null then id end) as without_amount,
  coalesce(sum(case when state = 'sending' then 1 else 0 end), 0) as busy,
  coalesce(sum(case when state = 'unknown' then 1 else 0 end), 0) as unknown,
  max(case when state = 'unknown' and node is null then next_at end) as asked_at,
  -- By the reply to it, or, where that was lost, by what told of it later.
  max(coalesce((select max(e.at) from events as e where e.item_id = items.id
    and e.from_state in ('planned', 'sending', 'unknown', 'needs_review')
    and e.to_state in ('pending', 'unknown', 'needs_review', 'succeeded') and e.from_state <> e.to_state), sent_at)) as last
from items where refunded_payment = $1 and id <> $2
