-- A payment has two numbers, the merchant's and the gateway's. By a mistyped one the same sub-order was declared a second time, since only
-- the merchant's number told payments apart; and so it was by a sub-order's number beside another payment. And a failed declaration was tried again beside another of the same sub-order, since
-- nothing told what is done once.

alter table items add column part_once integer;    -- 1: the part is done once; what does it again is of another kind
alter table items add column payment_ours text;    -- account and the merchant's number of the payment it is of, in small letters
alter table items add column payment_theirs text;  -- the same by the gateway's number
alter table items add column payment_part text;    -- account, customs and sub-order, in small letters, where the gateway finds it by that number alone
alter table items add column payment_written text; -- both numbers as its row wrote them

create index items_payment_ours on items (payment_ours, payment_written) where payment_ours is not null;
create index items_payment_part on items (payment_part, payment_written) where payment_part is not null;
create index items_payment_theirs on items (payment_theirs, payment_written) where payment_theirs is not null;

-- What was planned before, as far as its fields are kept.
update items set
  part_once = case when (select j.kind from jobs as j where j.id = items.job_id) = 'declare' then 1 else 0 end,
  payment_ours = (select coalesce(nullif(j.account, ''), j.lane) from jobs as j where j.id = items.job_id)
    || '/' || lower(input ->> 'out_trade_no'),
  payment_theirs = (select coalesce(nullif(j.account, ''), j.lane) from jobs as j where j.id = items.job_id)
    || '/' || lower(input ->> 'transaction_id'),
  payment_part = (select j.account from jobs as j
      where j.id = items.job_id and (j.account like 'wechat/%' or j.account like 'hipopay/%'))
    || '/' || lower(input ->> 'customs') || '/' || lower(input ->> 'sub_order_no'),
  payment_written = (input ->> 'out_trade_no') || '/' || (input ->> 'transaction_id')
where part_of is not null;
update items set payment_ours = null, payment_theirs = null, payment_part = null
where part_of is not null and (payment_ours is null or payment_theirs is null or payment_written is null);
