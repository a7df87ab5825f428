import { statSync } from 'node:fs';
import { BackhaulError, DEV_FILE, type Finding } from '@backhaul/protocol';
import { type Config, isLoopback } from '../config.ts';

/** Which settings are in use and where they come from. Throws what `config.url` throws. */
export function checkSettings(config: Config): Finding[] {
  const { url } = config;
  const findings: Finding[] = [ok('settings', `server ${url.value} (${url.source})`)];
  const address = new URL(url.value);
  if (['http:', 'ws:'].includes(address.protocol) && !isLoopback(address)) {
    findings.push({
      name: 'encryption',
      level: 'warning',
      detail: 'The server is reached without TLS: the token can be read on the way.',
      fix: 'Use an https:// address.',
    });
  }
  return [...findings, ...checkDevFile(config)];
}

export function ok(name: string, detail: string): Finding {
  return { name, level: 'ok', detail, fix: null };
}

export function failed(name: string, detail: string, fix: string | null): Finding {
  return { name, level: 'error', detail, fix };
}

function checkDevFile(config: Config): Finding[] {
  const sources = [config.url.source, tokenSource(config)];
  if (!sources.includes(DEV_FILE)) return [];
  const mode = statSync(config.devFilePath).mode & 0o777;
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    return [
      {
        name: 'dev file',
        level: 'warning',
        detail: `${DEV_FILE} holds secrets and can be read by others (mode ${mode.toString(8)}).`,
        fix: `chmod 600 ${DEV_FILE}`,
      },
    ];
  }
  return [ok('dev file', `${DEV_FILE} is in use`)];
}

function tokenSource(config: Config): string | undefined {
  try {
    return config.token.source;
  } catch (error) {
    if (error instanceof BackhaulError) return undefined;
    throw error;
  }
}
