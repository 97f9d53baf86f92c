# Batches that wait for approval.
approvals-title = Approvals
approvals-waiting = Waiting
approvals-decided = Decided
approvals-empty = Nothing waits for approval. A batch comes here when it is planned by a workflow that says approval:.
approvals-batch = Batch
approvals-votes = Approved
approvals-until = Open until
approvals-decided-at = Decided
approvals-approved-by = Approved by
approval-waiting = waits for approval
approval-approved = approved
approval-rejected = rejected
approval-expired = expired
approval-void = changed
approval-revoked = revoked

# Who may approve.
approvals-other-role = You can look, and not approve: that is for the role approver.
approvals-own = You began this run. Somebody else has to approve it.
approvals-incomparable = It was begun in a terminal, where anybody can give any name. Another user of that machine has to approve it there.
approvals-voted = You have approved it. Another person has to.
approvals-void = A row was changed since it was planned. It can only be rejected.

# What stands out.
approvals-found = What stands out
approvals-nothing-found = No row is certain to fail, and none repeats an earlier one.
approvals-only-first = { $n ->
   *[other] Only the first { $shown } rows were looked at.
}
approvals-failing = { $n ->
    [one] { $shown } row is certain to fail
   *[other] { $shown } rows are certain to fail
}
approvals-crowded = { $n ->
    [one] { $shown } row takes too much of a payment together with others
   *[other] { $shown } rows take too much of the same payment together
}
approvals-repeating = { $n ->
    [one] { $shown } row says the same as an earlier item
   *[other] { $shown } rows say the same as earlier items
}
approvals-unknown-payments = { $n ->
    [one] { $shown } row is of a payment that payrun does not know. What was paid and given back before cannot be said.
   *[other] { $shown } rows are of payments that payrun does not know. What was paid and given back before cannot be said.
}
approvals-largest-named = The largest of them are named.
approvals-not-checked = There are too many rows to look through all of them at once.
approvals-check-all = Look through all rows (up to half a minute)
approvals-beside = Beside the batch before:
approvals-first-batch = There was no batch of this workflow and job before.
approvals-added = New keys
approvals-removed = Keys that are gone
approvals-changed = Changed
approvals-same = As before

# Rows.
approvals-rows = Rows, the largest first
approvals-line = Line
approvals-key = Key
approvals-paid = Paid before
approvals-refunded = given back
approvals-fields = Fields
approvals-notes = Notes
approvals-unknown-payment = of a payment that payrun does not know
approvals-repeats = the same as item { $item } of run { $run } ({ $state })
approvals-first-rows = First rows
approvals-next-rows = Next rows
approvals-hash = Hash of what is approved:
approval-code-exceeds-payment = more than is left of the payment
approval-code-exceeds-payment-together = the rows of this payment take more than is left of it
approval-code-two-amounts-paid = the gateway has named two amounts for the payment
approval-code-other-currency = the payment was in another currency
approval-code-other-payment = the two numbers are those of two payments
approval-code-other-amount-paid = another amount was paid than the row says
approval-code-not-paid = our own item of that number charged nobody

# Deciding.
approvals-decide = Decide
approvals-type-sum = To approve, type the sum in
approvals-type-count = To approve, type the number of items
approvals-wrong-sum = That is not the sum of this batch. Nothing was approved.
approvals-reason = Reason, for the audit log
approvals-approve = Approve
approvals-reject = Reject
approvals-reject-means = Nothing of the batch is sent. Its keys are free for a corrected batch.
approvals-revoke = Revoke
approvals-revoke-means = What was not sent yet is never sent. What may be under way is queried.
