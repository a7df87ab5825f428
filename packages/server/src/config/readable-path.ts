import { accessSync, constants, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { SettingProblem } from './config-error.ts';
import type { ReadSettings } from './read-settings.ts';

type FileSetting = 'JWT_PUBLIC_KEY_FILE' | 'TLS_CERT_FILE' | 'TLS_KEY_FILE' | 'TLS_CLIENT_CA_FILE';

/** @returns The absolute path; null if the setting is not set, or if a problem was added. */
export function readablePath(
  { values }: ReadSettings,
  name: FileSetting,
  { cwd, problems }: { cwd: string; problems: SettingProblem[] },
): string | null {
  const given = values[name];
  if (given === undefined) return null;
  const path = resolve(cwd, given);
  const complaint = whyUnreadable(path);
  if (complaint === undefined) return path;
  problems.push({ setting: name, message: `${name} is set to ${path}, which ${complaint}.` });
  return null;
}

function whyUnreadable(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path).isDirectory() ? 'is a directory' : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}`;
  }
}
