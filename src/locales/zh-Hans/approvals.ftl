# Batches that wait for approval.
approvals-title = 审批
approvals-waiting = 待审批
approvals-decided = 已处理
approvals-empty = 没有待审批的批次。工作流写明 approval: 后，其计划的批次会出现在这里。
approvals-batch = 批次
approvals-votes = 已批准
approvals-until = 有效期至
approvals-decided-at = 处理时间
approvals-approved-by = 批准人：
approval-waiting = 待审批
approval-approved = 已批准
approval-rejected = 已驳回
approval-expired = 已过期
approval-void = 内容已变动
approval-revoked = 已撤回批准

# Who may approve.
approvals-other-role = 您可以查看，但不能审批：审批需要「审批人」角色。
approvals-own = 此批次由您发起，须由他人审批。
approvals-incomparable = 此批次由终端发起，终端中可使用任意姓名，须由该机器的另一用户在终端审批。
approvals-voted = 您已批准，尚需另一人批准。
approvals-void = 计划之后有行被改动，只能驳回。

# What stands out.
approvals-found = 需要注意
approvals-nothing-found = 没有必然失败的行，也没有与以往重复的行。
approvals-only-first = 只检查了前 { $shown } 行。
approvals-failing = { $shown } 行必然失败
approvals-crowded = { $shown } 行合计超过同一笔付款的余额
approvals-repeating = { $shown } 行与以往条目重复
approvals-unknown-payments = { $shown } 行所属付款不在 payrun 记录中，此前已付和已退金额无法得知。
approvals-largest-named = 仅列出其中金额最大的行。
approvals-not-checked = 行数过多，无法立即全部检查。
approvals-check-all = 检查全部行（最多半分钟）
approvals-beside = 与上一批次相比：
approvals-first-batch = 此工作流和作业之前没有批次。
approvals-added = 新增的键
approvals-removed = 不再出现的键
approvals-changed = 有变动
approvals-same = 与上次相同

# Rows.
approvals-rows = 明细（金额由大到小）
approvals-line = 行号
approvals-key = 键
approvals-paid = 原付款
approvals-refunded = 已退
approvals-fields = 字段
approvals-notes = 备注
approvals-unknown-payment = 所属付款不在 payrun 记录中
approvals-repeats = 与运行 { $run } 的条目 { $item } 相同（{ $state }）
approvals-first-rows = 首页
approvals-next-rows = 下一页
approvals-hash = 所批准内容的哈希：
approval-code-exceeds-payment = 超过该付款的可退余额
approval-code-exceeds-payment-together = 同一付款的各行合计超过可退余额
approval-code-two-amounts-paid = 网关对该付款给出两个金额
approval-code-other-currency = 与付款币种不同
approval-code-other-payment = 两个单号属于两笔付款
approval-code-other-amount-paid = 实付金额与该行所写不同
approval-code-not-paid = 该单号对应的条目未曾扣款成功

# Deciding.
approvals-decide = 审批决定
approvals-type-sum = 如要批准，请输入总金额，币种
approvals-type-count = 如要批准，请输入条目数
approvals-wrong-sum = 与此批次的总金额不符，未作任何批准。
approvals-reason = 理由（记入审计日志）
approvals-approve = 批准
approvals-reject = 驳回
approvals-reject-means = 此批次不会发送任何内容，其键可用于更正后的批次。
approvals-revoke = 撤回批准
approvals-revoke-means = 尚未发送的不再发送；可能已发出的将查询结果。
