# Gateway accounts.
gateways-empty = payrun.yaml has no gateway account.
gateways-sandbox = sandbox
gateways-until = until
gateways-rate = Calls at most
gateways-at-once = At once
gateways-under-way = Calls under way
gateways-due-since = Due and not claimed since
gateways-days = { $n ->
    [one] one day left
   *[other] { $shown } days left
}
gateways-answers = Answers to the calls of the newest items
gateways-answer = Answer
gateways-times = Times
gateways-took = On average
gateways-longest = At most
gateways-last = Last
gateways-suspend = Suspend
gateways-suspend-what = Nothing is called on this account, not even a query, until it is released.
gateways-release = Release
gateways-for = For how long (30m, 8h, 2d)
gateways-slow = Slow down
gateways-slow-what = Never above what payrun.yaml allows. Both empty: as payrun.yaml says again.
gateways-reachable = Reachable
gateways-not-reachable = no
gateways-answered = it answered last
gateways-not-called = not called lately
