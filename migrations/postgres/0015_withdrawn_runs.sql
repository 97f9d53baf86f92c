-- That a run is withdrawn as a whole stands in its row before any of its items is cancelled: from then on nothing of it is claimed to be
-- sent, none of its later jobs is planned, and nothing is tried again until every open item has been cancelled or withdrawn.

alter table runs add column withdrawn_by text;         -- who, and why; none: it was not
alter table runs add column withdrawn_at bigint;
alter table runs add column withdrawal_ended_at bigint;   -- since when no open item of it is left that is not withdrawn
create index runs_being_withdrawn on runs (id) where withdrawn_at is not null and withdrawal_ended_at is null;

-- Whether what a form asked for was done: one that was sent again may come while the first is under way, or after it broke off.
alter table idempotency_keys add column done_at bigint;
