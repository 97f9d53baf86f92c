-- Fingerprints come in no order, so that each new item touches another page of each index that has one. There were six for a deduction.

-- What waits of a contract is found by items_of_contract too, among what it had before: a contract has few items, and a plan many contracts.
drop index items_waiting;
-- Each claim asks whether there is a job under way that ends contracts.
create index jobs_terminating on jobs (id) where kind = 'terminate' and finished_at is null;

-- Eight bytes of a fingerprint find its item as well as all 32: whoever looks compares the whole.
drop index items_content_hash;
create index items_content_hash on items (substr(content_hash, 1, 8)) where content_hash is not null;
