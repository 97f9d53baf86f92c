-- What is looked for often, or while others wait: occurrences that could not be planned, what was put off of a
-- contract, contracts that payrun stopped by itself, and those that nobody charges.
create index occurrences_failed on occurrences (changed_at) where state = 'failed';
create index items_put_off on items (serial) where state = 'planned' and reason is not null;
create index contract_changes_of_payrun on contract_changes (at) where who = 'payrun';
create index contracts_overdue on contracts (next_due, account) where state = 'active';
