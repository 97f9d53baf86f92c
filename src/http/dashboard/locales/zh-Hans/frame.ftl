# What every page has around it.
nav-label = 页面
nav-skip = 跳到内容
nav-today = 今日
nav-runs = 运行
nav-unknown = 结果不明
nav-approvals = 审批
nav-upload = 上传
nav-gateways = 网关
nav-alerts = 告警
nav-settings = 设置
nav-sign-out = 退出
search-label = 按任意编号查找付款
search-placeholder = 键、订单号、协议号…
footer-times = 时间所用时区：
keys-title = 快捷键
keys-search = 搜索
keys-rows = 下一行、上一行
keys-open = 打开该行
keys-help = 快捷键说明
close = 关闭
command-label = 终端中的等效命令：
newest = 最新
older = 更早

role-viewer = 查看者
role-operator = 操作员
role-approver = 审批人
role-admin = 管理员

error-not-found = 没有这个页面
error-forbidden = 您的角色无此权限
error-changed = 内容已变化
error-too-much = 查询耗时过长
error-unavailable = 暂时不可用
error-cannot = 无法执行
error-back = 返回首页
error-again = 重新开始

sign-in-title = 登录
sign-in-token = 令牌
sign-in-do = 登录
sign-in-how = 令牌由 payrun 的管理人员创建：
sign-in-lost = 浏览器没有保存会话。请用 https 打开，或在本机用 http://localhost 打开。

settings-title = 设置
settings-language = 语言
settings-zone = 页面时区
settings-project-zone = 项目时区为
settings-dense = 每屏显示更多行
settings-keep = 保存

# States of an item.
state-awaiting-approval = 待审批
state-planned = 已计划
state-sending = 发送中
state-pending = 处理中
state-unknown = 结果不明
state-succeeded = 成功
state-failed = 失败
state-cancelled = 已取消
state-needs-review = 需人工核实
state-rejected = 被拒绝
state-skipped = 已跳过

# Fields.
run = 运行
runs-title = 运行
runs-empty = 还没有运行过。运行可由排程、上传或终端命令开始：
workflow = 工作流
occurrence = 批次
author = 发起人
planned-at = 计划时间
finished-at = 完成时间
under-way = 进行中
items = 条目
items-title = 条目
open = 未结
rate = 每秒条目
minutes-left = 约剩 { $shown } 分钟
states = 状态
state = 状态
amount = 金额
jobs = 作业
job = 作业
kind = 类型
gateway = 网关
code = 代码
failed-by-code = 失败原因（按代码）
rows-to-mend = 待修正的行
as-xlsx = 导出 XLSX
as-csv = 导出 CSV
not-renewed = 本页未能更新，所示内容可能已过时；将继续重试。
