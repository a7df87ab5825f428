// A minimal agent, written only from docs/protocol.md. It lets a server pull this one FILE, any number of times:
//   node raw-agent.mjs CLIENT_ID FILE WS_URL [TOKEN]      (TOKEN may be in BACKHAUL_TOKEN instead)
import { createHash } from 'node:crypto';
import { on } from 'node:events';
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { crc32 } from 'node:zlib';
import { WebSocket } from 'ws';

const [clientId, filePath, url, token = process.env.BACKHAUL_TOKEN] = process.argv.slice(2);
const socket = new WebSocket(url, 'backhaul.v1', { headers: { authorization: `Bearer ${token}` } });
const send = (status, fields) => socket.send(JSON.stringify({ status, ...fields }));
const fault = (code, message) => Object.assign(new Error(message), { code });
const platform = { os: process.platform, arch: process.arch };
const limits = { max_uploads: 1, parallel_parts: 8 };
let id, file, facts, window, parts; // Of the running upload: `limits` allows only one.

socket.on('open', () =>
  send('hello', { agent_version: 'raw', platform, limits, default_file_path: filePath }),
);
for await (const [frame] of on(socket, 'message', { close: ['close'] })) {
  const { action, ...message } = JSON.parse(frame);
  console.log(clientId, action, message.message ?? '');
  try {
    if (action === 'welcome') setInterval(() => socket.ping(), message.heartbeat_interval_ms).unref();
    if (action === 'prepare_upload') await prepare(message);
    if (action === 'download_file') await putWindow(message.upload_config.presigned_urls);
    if (action === 'part_urls') await putWindow(message.presigned_urls);
  } catch (error) {
    const code = error.code === 'ENOENT' ? 'file_not_found' : (error.code ?? 'agent_fault');
    send('failed', { ...id, error: code, message: error.message });
  }
}

async function prepare({ upload_id, attempt, file_path, plan }) {
  [id, parts, window] = [{ upload_id, attempt }, [], Math.min(plan.window_size, limits.parallel_parts)];
  if (file_path !== filePath) throw fault('path_not_allowed', `This agent sends only ${filePath}.`);
  await file?.close();
  file = await open(filePath);
  const fingerprint = await takeFingerprint();
  const size = Number(fingerprint.size);
  const evenShare = Math.ceil(size / plan.max_parts);
  const chunk_size = Math.max(plan.min_chunk_size, Math.ceil(evenShare / 1_048_576) * 1_048_576);
  const part_count = Math.max(1, Math.ceil(size / chunk_size));
  const source_modified_at = new Date(Number(fingerprint.mtime_ns) / 1e6);
  facts = { file_name: basename(filePath), size, chunk_size, part_count, fingerprint, source_modified_at };
  send('prepared', { ...id, ...facts, parts: await nextWindow() });
}

// A part is read and hashed before its URL is requested, because the URL is bound to its checksums.
async function nextWindow() {
  const announced = [];
  const last = Math.min(parts.length + window, facts.part_count);
  for (let part_number = parts.length + 1; part_number <= last; part_number += 1) {
    const bytes = await readPart(part_number);
    const crc = Buffer.from(crc32(bytes).toString(16).padStart(8, '0'), 'hex').toString('base64');
    const [md5, sha256] = ['md5', 'sha256'].map((name) => createHash(name).update(bytes).digest('base64'));
    announced.push({ part_number, size: bytes.length, crc32: crc, md5, sha256 });
  }
  return announced;
}

async function putWindow(signedParts) {
  facts.started ??= performance.now();
  await Promise.all(signedParts.map(putPart));
  send('part_uploaded', { ...id, parts });
  if (parts.length < facts.part_count) return send('parts_ready', { ...id, parts: await nextWindow() });
  const isSame = JSON.stringify(await takeFingerprint()) === JSON.stringify(facts.fingerprint);
  if (!isSame) throw fault('file_changed', `${filePath} changed while it was read.`);
  const upload_duration_ms = Math.round(performance.now() - facts.started);
  send('completed', { ...id, file_name: facts.file_name, size: facts.size, parts, upload_duration_ms });
}

async function putPart({ part_number, url, headers }) {
  const body = await readPart(part_number);
  const response = await fetch(url, { method: 'PUT', headers, body, redirect: 'manual' });
  const etag = response.headers.get('etag');
  if (response.status !== 200 || !etag)
    throw fault('storage_refused', `The store responded ${response.status}.`);
  parts[part_number - 1] = { part_number, etag };
}

async function readPart(part_number) {
  const position = (part_number - 1) * facts.chunk_size;
  const bytes = Buffer.alloc(Math.min(facts.chunk_size, facts.size - position));
  await file.read(bytes, { position });
  return bytes;
}

async function takeFingerprint() {
  const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return {
    device: `${dev}`,
    inode: `${ino}`,
    size: `${size}`,
    mtime_ns: `${mtimeNs}`,
    ctime_ns: `${ctimeNs}`,
  };
}
