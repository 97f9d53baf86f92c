# What every page has around it.
nav-label = 頁面
nav-skip = 跳到內容
nav-today = 今日
nav-runs = 執行
nav-unknown = 結果不明
nav-approvals = 審批
nav-upload = 上載
nav-gateways = 閘道
nav-alerts = 警示
nav-settings = 設定
nav-sign-out = 登出
search-label = 以任何編號尋找付款
search-placeholder = 鍵、訂單號、合約號…
footer-times = 時間所用時區：
keys-title = 快速鍵
keys-search = 搜尋
keys-rows = 下一列、上一列
keys-open = 開啟該列
keys-help = 快速鍵說明
close = 關閉
command-label = 終端機中的相同指令：
newest = 最新
older = 更早

role-viewer = 檢視者
role-operator = 操作員
role-approver = 審批人
role-admin = 管理員

error-not-found = 沒有這個頁面
error-forbidden = 您的角色無此權限
error-changed = 內容已變更
error-too-much = 查詢時間過長
error-unavailable = 暫時無法使用
error-cannot = 無法執行
error-back = 返回首頁
error-again = 重新開始

sign-in-title = 登入
sign-in-token = 權杖
sign-in-do = 登入
sign-in-how = 權杖由 payrun 的管理人員建立：
sign-in-lost = 瀏覽器沒有保留工作階段。請以 https 開啟，或在本機以 http://localhost 開啟。

settings-title = 設定
settings-language = 語言
settings-zone = 頁面時區
settings-project-zone = 專案時區為
settings-dense = 每屏顯示更多列
settings-keep = 儲存

# States of an item.
state-awaiting-approval = 待審批
state-planned = 已計劃
state-sending = 傳送中
state-pending = 處理中
state-unknown = 結果不明
state-succeeded = 成功
state-failed = 失敗
state-cancelled = 已取消
state-needs-review = 需人工核實
state-rejected = 被拒絕
state-skipped = 已略過

# Fields.
run = 執行
runs-title = 執行
runs-empty = 尚未執行過。執行可由排程、上載或終端機指令開始：
workflow = 工作流程
occurrence = 批次
author = 發起人
planned-at = 計劃時間
finished-at = 完成時間
under-way = 進行中
items = 項目
items-title = 項目
open = 未結
rate = 每秒項目
minutes-left = 約剩 { $shown } 分鐘
states = 狀態
state = 狀態
amount = 金額
jobs = 作業
job = 作業
kind = 類型
gateway = 閘道
code = 代碼
failed-by-code = 失敗原因（按代碼）
rows-to-mend = 待修正的列
as-xlsx = 匯出 XLSX
as-csv = 匯出 CSV
not-renewed = 本頁未能更新，所示內容可能已過時；將繼續重試。
