-- What became of items ($1) is what became of their periods. Few items have a period, so the list comes first.
update contract_periods set
  -- What is withdrawn of a contract that is not charged, or not after its last day, is waived with it.
  state = case when v.value ->> 'state' = 'cancelled' and exists (select 1 from contracts as c
      where c.id = contract_periods.contract_id and (c.state <> 'active' or contract_periods.due > c.end_on))
    then 'waived' else v.value ->> 'state' end,
  -- Whether the contract has yet to hear of it.
  failure_unprocessed = cast(v.value ->> 'failure_unprocessed' as bigint)
from json_each($1) as v where contract_periods.item_id = cast(v.value ->> 'item_id' as bigint)
