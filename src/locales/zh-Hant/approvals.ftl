# Batches that wait for approval.
approvals-title = 審批
approvals-waiting = 待審批
approvals-decided = 已處理
approvals-empty = 沒有待審批的批次。工作流程寫明 approval: 後，其計劃的批次會出現在這裏。
approvals-batch = 批次
approvals-votes = 已批准
approvals-until = 有效期至
approvals-decided-at = 處理時間
approvals-approved-by = 批准人：
approval-waiting = 待審批
approval-approved = 已批准
approval-rejected = 已駁回
approval-expired = 已過期
approval-void = 內容已變動
approval-revoked = 已撤回批准

# Who may approve.
approvals-other-role = 您可以查看，但不能審批：審批需要「審批人」角色。
approvals-own = 此批次由您發起，須由他人審批。
approvals-incomparable = 此批次由終端機發起，終端機中可使用任意姓名，須由該機器的另一使用者在終端機審批。
approvals-voted = 您已批准，尚需另一人批准。
approvals-void = 計劃之後有列被改動，只能駁回。

# What stands out.
approvals-found = 需要注意
approvals-nothing-found = 沒有必然失敗的列，也沒有與以往重複的列。
approvals-only-first = 只檢查了前 { $shown } 列。
approvals-failing = { $shown } 列必然失敗
approvals-crowded = { $shown } 列合計超過同一筆付款的餘額
approvals-repeating = { $shown } 列與以往項目重複
approvals-unknown-payments = { $shown } 列所屬付款不在 payrun 記錄中，此前已付和已退金額無法得知。
approvals-largest-named = 僅列出其中金額最大的列。
approvals-not-checked = 列數過多，無法立即全部檢查。
approvals-check-all = 檢查全部列（最多半分鐘）
approvals-beside = 與上一批次相比：
approvals-first-batch = 此工作流程和作業之前沒有批次。
approvals-added = 新增的鍵
approvals-removed = 不再出現的鍵
approvals-changed = 有變動
approvals-same = 與上次相同

# Rows.
approvals-rows = 明細（金額由大至小）
approvals-line = 列號
approvals-key = 鍵
approvals-paid = 原付款
approvals-refunded = 已退
approvals-fields = 欄位
approvals-notes = 備註
approvals-unknown-payment = 所屬付款不在 payrun 記錄中
approvals-repeats = 與執行 { $run } 的項目 { $item } 相同（{ $state }）
approvals-first-rows = 首頁
approvals-next-rows = 下一頁
approvals-hash = 所批准內容的雜湊值：
approval-code-exceeds-payment = 超過該付款的可退餘額
approval-code-exceeds-payment-together = 同一付款的各列合計超過可退餘額
approval-code-two-amounts-paid = 閘道對該付款給出兩個金額
approval-code-other-currency = 與付款幣種不同
approval-code-other-payment = 兩個單號屬於兩筆付款
approval-code-other-amount-paid = 實付金額與該列所寫不同
approval-code-not-paid = 該單號對應的項目未曾扣款成功

# Deciding.
approvals-decide = 審批決定
approvals-type-sum = 如要批准，請輸入總金額，幣種
approvals-type-count = 如要批准，請輸入項目數
approvals-wrong-sum = 與此批次的總金額不符，未作任何批准。
approvals-reason = 理由（記入審計日誌）
approvals-approve = 批准
approvals-reject = 駁回
approvals-reject-means = 此批次不會傳送任何內容，其鍵可用於更正後的批次。
approvals-revoke = 撤回批准
approvals-revoke-means = 尚未傳送的不再傳送；可能已送出的將查詢結果。
