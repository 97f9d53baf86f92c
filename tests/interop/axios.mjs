// npm `wechatpay-axios-plugin` against our sandbox, and our client's signatures before its verifier.
//
//   node axios.mjs MODULES FOLDER BASE_URL PAYRUN
//
// After the first step the package's own client makes the calls: it signs them, and refuses replies that do not verify.

import { execFile } from 'node:child_process';
import { constants, createHash, publicEncrypt, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

const [modules, folder, base, payrun] = process.argv.slice(2);
const { Wechatpay, Formatter, Rsa, Aes } = createRequire(`${modules}/`)('wechatpay-axios-plugin');

function check(what, holds) {
  console.log(`${holds ? 'good ' : 'wrong'}  ${what}`);
  if (!holds) process.exit(1);
}

const read = (name) => readFileSync(`${folder}/${name}`, 'utf8');
const yaml = read('payrun.yaml');
// The account hk stands first.
const field = (name) => yaml.match(new RegExp(`^ +${name}: "?([^"\\n]+)"?$`, 'm'))[1];
const [mchid, appid, serial] = ['mchid', 'appid', 'merchant_serial'].map(field);
const privateKey = Rsa.from(read('keys/merchant_key.pem'), Rsa.KEY_TYPE_PRIVATE);
const merchantKey = Rsa.from(read('keys/merchant_cert.pem'), Rsa.KEY_TYPE_PUBLIC);

/** A request signed by hand; `send` is sent in the signed body's place. */
async function call(method, target, body = '', send = body) {
  const [timestamp, nonce] = [Formatter.timestamp(), Formatter.nonce()];
  const signature = Rsa.sign(Formatter.request(method, target, timestamp, nonce, body), privateKey);
  const headers = {
    Accept: 'application/json',
    'Content-Type': 'application/json',
    'User-Agent': 'interop',
    Authorization: Formatter.authorization(mchid, nonce, signature, timestamp, serial),
  };
  const reply = await fetch(base + target, { method, headers, body: send || undefined });
  return { status: reply.status, header: (name) => reply.headers.get(name), text: await reply.text() };
}

/** Whether a reply's signature is of this text. */
function verifies(header, text, key) {
  const message = Formatter.response(header('wechatpay-timestamp'), header('wechatpay-nonce'), text);
  return Rsa.verify(message, header('wechatpay-signature'), key);
}

// The platform's certificate, which vouches for the reply that brings it.
const list = await call('GET', '/v3/global/certificates');
check('the sandbox accepts the signature of GET /v3/global/certificates', list.status === 200);
const [{ serial_no: platformSerial, encrypt_certificate: sealed }] = JSON.parse(list.text).data;
const pem = Aes.AesGcm.decrypt(sealed.ciphertext, read('keys/api_v3_key.txt').trim(), sealed.nonce, sealed.associated_data);
const platformKey = Rsa.from(pem, Rsa.KEY_TYPE_PUBLIC);
check('the platform certificate decrypts by AES-GCM', new X509Certificate(pem).serialNumber === platformSerial);
check('the reply with the certificates verifies', verifies(list.header, list.text, platformKey));

const client = (baseURL) => new Wechatpay({
  mchid, serial, privateKey, certs: { [platformSerial]: platformKey }, baseURL, proxy: false, timeout: 10_000,
});
const wxpay = client(base);
const params = { mchid };

// A deduction, a query of it, a refund and a query of that.
const number = `js${Date.now()}`;
const day = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10).replaceAll('-', '');
const deduction = {
  appid,
  description: '連携テスト · interop',
  notify_url: 'https://example.com/payrun/notify/hk',
  out_trade_no: number,
  merchant_category_code: '4900',
  contract_id: `Interop${number}`,
  amount: { total: 3850, currency: 'HKD' },
};
const text = JSON.stringify(deduction);
const changed = await call('POST', '/v3/global/papay/transactions', text, text.replace('3850', '1'));
const refused = changed.status === 401 && JSON.parse(changed.text).code === 'SIGN_ERROR';
check('a deduction that was changed after signing is refused with 401 SIGN_ERROR', refused);
const { data: paid } = await wxpay.chain('v3/global/papay/transactions').post(deduction);
check('a deduction is accepted and its reply verifies', paid.trade_state === 'SUCCESS');
const { data: asked } = await wxpay.chain(`v3/global/papay/transactions/out-trade-no/${number}`).get();
check('a query of the deduction is answered and its reply verifies', asked.amount.total === 3850);
const refund = {
  mchid,
  appid,
  out_trade_no: number,
  out_refund_no: `${number}R`,
  reason: 'interop',
  amount: { refund: 850, total: 3850, currency: 'HKD' },
};
const { data: back } = await wxpay.chain('v3/global/refunds').post(refund);
check('a refund is accepted and its reply verifies', back.amount.refund === 850);
const { data: known } = await wxpay.chain(`v3/global/refunds/out-refund-no/${number}R`).get({ params });
check('a query of the refund is answered and its reply verifies', known.out_refund_no === `${number}R`);

// The statement, which is vouched for by its SHA-1. The package does not verify it by itself.
const statement = await wxpay.chain('v3/global/statements').get({ params: { date: day, mchid }, responseType: 'arraybuffer' });
const header = (name) => statement.headers[name];
const sha1 = createHash('sha1').update(statement.data).digest('hex');
check("the statement's SHA-1 is what its header says", header('wechatpay-statement-sha1') === sha1);
check('its signature is of the SHA-1', verifies(header, JSON.stringify({ sha1 }), platformKey));
check('and of nothing else', !verifies(header, statement.data.toString(), platformKey));
const { rows, summary } = Formatter.castCsvBill(statement.data);
const ours = rows.filter((row) => row['商户订单号'] === number);
check('its rows are read: the deduction and the refund', ours.length === 2
  && ours.some((row) => row['交易状态'] === 'SUCCESS' && row['订单金额(标价币种)'] === '38.50')
  && ours.some((row) => row['交易状态'] === 'REFUND' && row['申请退款金额'] === '8.50'));
check('its summary is read, and counts the rows', summary['总交易单数'] === `${rows.length}.0`);

// A declaration, and then its buyer, encrypted for the platform by RSAES-PKCS1-v1_5.
const declared = {
  mchid,
  appid,
  out_trade_no: number,
  transaction_id: paid.transaction_id ?? paid.id,
  customs: 'SHENZHEN',
  merchant_customs_no: '4403169D3W',
};
const customs = wxpay.chain('v3/global/customs/orders');
const { data: filed } = await customs.post(declared);
check('an order that is not split is declared', filed.state === 'UNDECLARED');
const ofNumber = { appid, mchid, order_type: 'out_trade_no', order_no: number, customs: 'SHENZHEN' };
let state = '';
for (let n = 0; n < 50 && state !== 'SUCCESS'; n += 1) {
  const { data: rows } = await customs.get({ params: ofNumber }).catch(() => ({ data: { data: [{ state: '' }] } }));
  state = rows.data[0].state;
  await new Promise((later) => { setTimeout(later, 100); });
}
check('the declaration is followed to its end', state === 'SUCCESS');
// The package encrypts by OAEP only: OpenSSL does it by PKCS#1 v1.5, by the same key.
const byPkcs1 = (text) => publicEncrypt({ key: platformKey, padding: constants.RSA_PKCS1_PADDING }, Buffer.from(text)).toString('base64');
const byOaep = (text) => Rsa.encrypt(text, platformKey);
const person = (card, encrypt = byPkcs1) => ({
  ...declared,
  certificate_type: 'IDCARD',
  certificate_id: encrypt(card),
  certificate_name: encrypt('張三'),
});
const sealedFor = { headers: { 'Wechatpay-Serial': platformSerial } };
const identity = wxpay.chain('v3/global/customs/verify-certificate');
const { data: same } = await identity.post(person('11010119900307002X'), sealedFor);
check('a certificate number that was encrypted by PKCS#1 v1.5 is decrypted', same.certificate_check_result === 'SAME');
const oaep = await identity.post(person('11010119900307002X', byOaep), sealedFor).catch(({ response }) => response);
check('one that was encrypted by OAEP is refused', oaep.status === 400);
const wrong = await identity.post(person('no number'), sealedFor).catch(({ response }) => response);
check('one that is no certificate number is refused', wrong.status === 400);

// What payrun itself signs, on its way to the sandbox; and what comes back, altered if wanted.
const seen = [];
let alter = (body) => body;

function signedByUs({ method, url, headers }, body) {
  const items = Object.fromEntries([...headers.authorization.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
  const message = Formatter.request(method, url, items.timestamp, items.nonce_str, body);
  const scheme = headers.authorization.startsWith('WECHATPAY2-SHA256-RSA2048 ');
  return scheme && items.mchid === mchid && items.serial_no === serial && Rsa.verify(message, items.signature, merchantKey);
}

async function pass(request, response) {
  const body = Buffer.concat(await request.toArray()).toString();
  seen.push({ method: request.method, holds: signedByUs(request, body) && !signedByUs(request, `${body} `) });
  const names = ['authorization', 'accept', 'user-agent', 'content-type'];
  const headers = Object.fromEntries(names.filter((name) => request.headers[name]).map((name) => [name, request.headers[name]]));
  const reply = await fetch(base + request.url, { method: request.method, headers, body: body || undefined });
  const signed = [...reply.headers].filter(([name]) => /^(wechatpay-|content-type|request-id)/.test(name));
  response.writeHead(reply.status, Object.fromEntries(signed)).end(alter(await reply.text()));
}

const between = createServer((request, response) => pass(request, response).catch(() => response.destroy()));
await new Promise((listening) => { between.listen(0, '127.0.0.1', listening); });
const address = `http://127.0.0.1:${between.address().port}`;

alter = (body) => body.replace('3850', '3851');
const order = client(address).chain(`v3/global/papay/transactions/out-trade-no/${number}`);
const altered = await order.get().catch((error) => error);
check('a reply that was changed on its way is refused by the package', altered.code === 'EV3_RES_HEADER_SIGNATURE_DIGEST');
alter = (body) => body;
check('the same reply unchanged is not', (await order.get()).data.amount.total === 3850);

seen.length = 0;
const own = yaml.split('\n  # The sandbox has the other kinds')[0];
writeFileSync(`${folder}/between-node.yaml`, own.replace(/^    base_url: .*$/m, `    base_url: ${address}`).replace('payrun.db', 'between-node.db'));
const contracts = [1, 2, 3].map((n) => `InteropJs${n},basic,${n}.50,HKD,yes\n`).join('');
writeFileSync(`${folder}/data/node.csv`, `contract_id,plan,amount,currency,active\n${contracts}`);
const command = ['run', 'workflows/monthly-deductions.yaml', '--config', 'between-node.yaml', '--input', 'data/node.csv'];
const ended = await promisify(execFile)(payrun, command, { cwd: folder, timeout: 40_000 }).catch((error) => error);
between.close();
between.closeAllConnections();
check(`payrun run ends well${ended.code ? `\n${ended.stderr}` : ''}`, !(ended instanceof Error));
const count = (method) => seen.filter((one) => one.method === method).length;
check('payrun sent a deduction a row, and asked for the certificates', count('POST') === 3 && count('GET') >= 1);
check("each request of payrun's verifies with the merchant's key, and no changed one", seen.every((one) => one.holds));
