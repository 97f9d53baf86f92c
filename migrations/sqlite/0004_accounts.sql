-- A job belongs to the account it was planned for, as the gateway tells accounts apart: under the same name in payrun.yaml there may
-- be another by now, which knows nothing of its orders.
alter table jobs add column account text; -- none for jobs that were planned before
