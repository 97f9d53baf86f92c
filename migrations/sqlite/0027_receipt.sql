-- Whoever approves a refund that names our own payment by the gateway's number is shown what was paid, before any look-up.
create index items_receipt on items (receipt) where receipt is not null;
