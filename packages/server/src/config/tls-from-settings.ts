import type { SettingProblem } from './config-error.ts';
import type { TlsFiles } from './config-types.ts';
import { missing } from './missing-setting.ts';
import { readablePath } from './readable-path.ts';
import type { ReadSettings } from './read-settings.ts';

/** @returns Null for plain HTTP, or if a problem was added. */
export function tlsFiles(settings: ReadSettings, cwd: string, problems: SettingProblem[]): TlsFiles | null {
  const { isSet } = settings;
  const isConfigured = isSet('TLS_CERT_FILE') || isSet('TLS_KEY_FILE') || isSet('TLS_CLIENT_CA_FILE');
  if (!isConfigured) return null;
  for (const name of ['TLS_CERT_FILE', 'TLS_KEY_FILE'] as const) {
    if (!isSet(name)) problems.push(missing(name));
  }
  const context = { cwd, problems };
  const certFile = readablePath(settings, 'TLS_CERT_FILE', context);
  const keyFile = readablePath(settings, 'TLS_KEY_FILE', context);
  const clientCaFile = readablePath(settings, 'TLS_CLIENT_CA_FILE', context);
  return certFile === null || keyFile === null
    ? null
    : { certFile, keyFile, clientCaFile, clientMatch: settings.values.TLS_CLIENT_MATCH };
}
