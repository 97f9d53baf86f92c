-- What is open of a contract ($1), its termination aside, by the two indexes that have it: one list of all states would use neither.
-- `cross join`: the items first, then the job of each.

-- What has not been sent, by items_of_contract, whose condition this repeats.
select i.id from items as i cross join jobs as j
where i.exclusive_key = $1 and i.exclusive_key is not null and i.key_hash is not null
  and i.state in ('planned', 'awaiting_approval') and j.id = i.job_id and j.kind <> 'terminate'
union all
-- What may have been sent, by items_in_flight, whose condition this repeats.
select i.id from items as i cross join jobs as j
where i.exclusive_key = $1 and i.state in ('sending', 'pending', 'unknown', 'needs_review') and j.id = i.job_id and j.kind <> 'terminate'
order by 1 limit 10000
