-- Periods of which an earlier item has the key, where the rows of a run ($1) behind $2 met it: as the item has ended, so has the period.
update contract_periods set
  -- As keep_periods.sql.
  state = case i.state when 'succeeded' then 'paid' when 'failed' then 'failed' when 'cancelled' then 'cancelled' else 'planned' end
from items as i where i.id = contract_periods.item_id
  and contract_periods.state = 'planned' and contract_periods.item_id in
    -- The list of states is the condition of the index items_with_problems. `cross join`: the rows first, then the job of each.
    (select d.duplicate_of from items as d cross join jobs as j where j.id = d.job_id and j.run_id = $1
       and d.state in ('failed', 'needs_review', 'rejected', 'skipped', 'cancelled') and d.id > $2)
