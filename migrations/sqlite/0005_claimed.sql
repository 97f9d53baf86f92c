-- What a dead process left is found without reading every item.
create index items_claimed on items (node) where node is not null;
create index runs_unfinished on runs (id) where finished_at is null;

-- Lists of what went wrong, of what is being asked about, and of a key, among millions of items that went well.
drop index items_by_job;
create index items_troubled on items (id) where state in ('failed', 'parked', 'rejected', 'skipped', 'cancelled');
create index items_asked on items (id) where state in ('pending', 'unknown');
create index items_named on items (key);
