//! The input fields of the built-in job kinds in Chinese: what a column is called, and what it
//! holds. Templates of item files are made of these.

/// The Chinese name of a field, and what it holds.
pub fn of(field: &str) -> Option<(&'static str, &'static str)> {
    FIELDS
        .iter()
        .find(|(name, _, _)| *name == field)
        .map(|(_, label, doc)| (*label, *doc))
}

/// By the field's name.
const FIELDS: [(&str, &str, &str); 49] = [
    ("out_trade_no", "商户订单号", "原支付的商户订单号。"),
    (
        "way",
        "处理方式",
        "仅微信支付：可填的英文值见本列的下拉列表；留空按默认方式处理。",
    ),
    ("reason", "原因", "原因说明。"),
    (
        "trans_time",
        "交易时间",
        "EGMS：merchantTransTime；留空则取本次运行的时间。",
    ),
    (
        "transaction_id",
        "支付单号",
        "已支付订单在支付网关的交易单号。",
    ),
    (
        "sub_order_no",
        "商户子订单号",
        "拆单时的子订单号；不拆单则留空，金额各列也留空。",
    ),
    (
        "customs",
        "海关代码",
        "支付网关规定的海关代码，例如 SHENZHEN。",
    ),
    ("mch_customs_no", "海关备案号", "商户在该海关的备案号。"),
    ("amount", "金额", "金额，以元等主币单位填写，例如 88.00。"),
    ("currency", "币种", "ISO 4217 币种代码，例如 HKD、CNY。"),
    (
        "product_fee",
        "商品价格",
        "子订单金额中的商品部分，主币单位。",
    ),
    (
        "transport_fee",
        "物流费用",
        "子订单金额中的运费部分，主币单位。",
    ),
    (
        "duty",
        "关税",
        "关税，以人民币元填写（0.88）；海关需要时才填。网关文档以分计（88），请除以 100。",
    ),
    ("paid_on", "支付日期", "支付日期；超过一年的将被拒绝。"),
    (
        "cert_id",
        "证件号码",
        "订购人的身份证号码（需要校验身份时）。",
    ),
    (
        "cert_type",
        "证件类型",
        "IDCARD：大陆居民身份证（默认，校验）；OTHER：护照等其他证件。",
    ),
    ("name", "订购人姓名", "订购人姓名（需要校验身份时）。"),
    (
        "contract_id",
        "签约协议号",
        "签约成功时网关返回的委托代扣协议号。",
    ),
    ("description", "商品描述", "付款人账单上显示的内容。"),
    (
        "merchant_category_code",
        "商户类别码",
        "商户类别码（MCC）。",
    ),
    ("attach", "附加数据", "查询和通知中原样返回的自定义数据。"),
    ("goods_tag", "订单优惠标记", "代金券或立减优惠使用的标记。"),
    ("device_ip", "终端IP", "终端的 IP 地址。"),
    ("device_id", "终端设备号", "终端的设备号。"),
    (
        "of",
        "外币币种",
        "要查询汇率的币种，ISO 4217 代码，例如 USD。",
    ),
    (
        "auth_code",
        "付款码",
        "微信支付：从付款人手机扫得的付款码。",
    ),
    (
        "openid",
        "用户标识",
        "HipoPay、EGMS、CBTIS：付款人在小程序下的 openid。",
    ),
    (
        "appid",
        "应用ID",
        "HipoPay、EGMS、CBTIS：应用或小程序的 AppID。",
    ),
    ("client_ip", "用户IP", "HipoPay：付款人的 IP 地址。"),
    (
        "is_rmb",
        "人民币标价",
        "HipoPay：填 TRUE 表示以人民币标价、以结算币种结算；此时币种为 CNY。",
    ),
    (
        "platform",
        "支付平台",
        "EGMS：付款的终端；WEB 返回二维码文本。",
    ),
    (
        "valid_minutes",
        "有效分钟数",
        "EGMS：可支付的时长，以分钟计。",
    ),
    ("return_url", "返回地址", "EGMS：付款人支付后返回的地址。"),
    (
        "flow",
        "支付流程",
        "CBTIS：进入支付的方式；留空为 official_account，qrcode 返回二维码文本。",
    ),
    (
        "success_url",
        "成功返回地址",
        "CBTIS：支付成功后返回的地址。",
    ),
    (
        "failed_url",
        "失败返回地址",
        "CBTIS：支付失败后返回的地址。",
    ),
    (
        "canceled_url",
        "取消返回地址",
        "CBTIS：取消支付后返回的地址。",
    ),
    (
        "settlement_currency",
        "结算币种",
        "结算币种，ISO 4217 代码。",
    ),
    (
        "payer_client_ip",
        "付款人IP",
        "微信支付：付款人的 IP 地址。",
    ),
    ("operator_id", "收银员编号", "微信支付：收银员的编号。"),
    (
        "store_id",
        "门店编号",
        "微信支付：门店编号；须同时填写门店名称和地址。",
    ),
    ("store_name", "门店名称", "微信支付：门店名称。"),
    ("store_address", "门店地址", "微信支付：门店地址。"),
    (
        "from",
        "开始日期",
        "第一天，按网关的日期（北京时间），例如 2026-11-20。",
    ),
    ("to", "结束日期", "最后一天。"),
    (
        "fee_rate",
        "手续费率",
        "网关的手续费率，小数：0.008 即 0.8%。填写后逐笔核对手续费。",
    ),
    (
        "paid",
        "原支付金额",
        "原支付金额（如已知）；须与网关的记录一致。",
    ),
    (
        "date",
        "账单日期",
        "账单日，按网关的日期（北京时间），例如 2026-11-30。",
    ),
    (
        "open_day",
        "当日账单",
        "尚未结束的一天：refuse 稍后再取（默认）；keep 先取已有的部分，之后以全天账单为准。",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::job_kinds::JobKinds;

    #[test]
    fn every_field_of_a_built_in_kind_has_a_chinese_name_of_its_own_and_no_other_field_has() {
        let kinds = JobKinds::built_in();
        let fields: BTreeSet<&str> = kinds
            .by_name
            .values()
            .flat_map(|kind| &kind.fields)
            .map(|field| field.name.as_str())
            .collect();
        let named: BTreeSet<&str> = FIELDS.iter().map(|(name, _, _)| *name).collect();
        assert_eq!(fields, named);
        let labels: BTreeSet<&str> = FIELDS.iter().map(|(_, label, _)| *label).collect();
        assert_eq!(labels.len(), FIELDS.len(), "two fields have one name");
    }
}
