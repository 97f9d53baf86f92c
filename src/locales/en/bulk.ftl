# What is done to many items at once.
bulk-title = Bulk actions
bulk-number = Bulk action
bulk-none = Nothing was done to many items at once yet. Filter the items, then choose all that match.
bulk-verb-retry = Retry many items
bulk-verb-cancel = Withdraw many items
bulk-do-retry = Retry exactly these
bulk-do-cancel = Withdraw exactly these
bulk-note-retry = What was sent before is asked about first, and sent again only where that is safe.
bulk-note-cancel = What has not been sent is cancelled. Of what may be under way nothing new is sent, and it is asked about.
bulk-meant = Which items
bulk-counted = What was counted
bulk-nothing = No item is like this now: there is nothing to do.
bulk-set = Set
bulk-not-meant = Left out
bulk-left-out = { $n ->
    [one] One item is left out: nothing more of it is sent, since its contract is suspended or ended, its period was given up, its batch was rejected, or it was done again as another item.
   *[other] { $shown } items are left out: nothing more of them is sent, since their contracts are suspended or ended, their periods were given up, their batches were rejected, or they were done again as other items.
}
bulk-confirm-title = Do it
bulk-exactly = It is done to exactly the items that were counted, as they are now. If one of them moves before you confirm, nothing is done and you count again.
items-counted = { $n ->
    [one] one item
   *[other] { $shown } items
}
bulk-back = Back to the items
bulk-what = What
bulk-refused = left as it was
bulk-left-alone = Left as they were, and why
bulk-outcome = What became of them
bulk-stays = withdrawn; stays so until its end is known
bulk-state-under-way = under way
bulk-state-done = done
bulk-state-broken-off = broken off
bulk-broken-off = { $n ->
    [one] It broke off. What it did is done; one item had no turn.
   *[other] It broke off. What it did is done; { $shown } items had no turn.
}
bulk-went-on = It went on last at
bulk-count-rest = Count the rest
bulk-items = The items it changed
bulk-untouched = not claimed or changed since
bulk-undo = Take it back
bulk-undo-what-retry = Those of its items that nobody has claimed or changed since are withdrawn, so that nothing of them is sent. What had failed before is cancelled then, and can be retried.
bulk-undo-what-cancel = Those of its items that were cancelled, and that nobody has claimed or changed since, are retried: they go back to work and are sent.
bulk-undo-not-retry = What was sent or asked about since cannot be taken back from here: open the item to see what became of it.
bulk-undo-not-cancel = What was withdrawn before its batch was approved does not come back: give its rows again. What may be under way stays withdrawn until its end is known.
bulk-undo-count = Count what can be taken back
bulk-undo-nothing = Each of its items was claimed or changed since: nothing can be taken back.
bulk-undo-left = What was claimed or changed since is not among them, and stays as it is.
who = Who
who-and-why = Who and why
began-at = Began
refusal-not-allowed = its state does not allow it
refusal-contract-busy = another item of its contract is in flight
refusal-never-approved = it was withdrawn before it was approved
refusal-changed = it has moved since it was counted
refusal-evidence-gone = its evidence is no longer kept
refusal-filed-again = it was done again as another item
refusal-clashes = another item is for the same
refusal-done-as = another item has done, or may do, the same
refusal-other-payment = another item names the payment by another number
refusal-given-back = a later item gives the same back
refusal-contract-stopped = its contract is suspended or has ended
refusal-approval-revoked = the approval of its batch was revoked
refusal-run-withdrawn = its run is being withdrawn
refusal-own-batch = only somebody who might have approved it may have it sent again
refusal-not-found = there is no such item
