import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { arch, hostname } from 'node:os';
import {
  type AgentMessageInput,
  commandNames,
  EMPTY_OBJECT_CAPABILITY,
  type Hello,
  LIST_PAGES_CAPABILITY,
  RESUME_CAPABILITY,
  TOKEN_RENEWAL_CAPABILITY,
  UPLOAD_LIMITS_CAPABILITY,
} from '@backhaul/protocol';
import type { AgentConfig } from '../config.ts';
import { AGENT_VERSION } from '../version.ts';

type HelloInput = Extract<AgentMessageInput, { status: 'hello' }>;

/** The first message of a connection: what this agent is and can do, and which uploads it still has. */
export function hello(
  config: AgentConfig,
  { running, keepsTokens }: { running: HelloInput['running']; keepsTokens: boolean },
): HelloInput {
  const host = hostIds();
  return {
    status: 'hello',
    agent_version: AGENT_VERSION,
    platform: { os: process.platform, arch: arch(), hostname: hostname().slice(0, 255) },
    ...(host !== undefined && { host }),
    capabilities: [
      ...commandNames,
      RESUME_CAPABILITY,
      EMPTY_OBJECT_CAPABILITY,
      UPLOAD_LIMITS_CAPABILITY,
      LIST_PAGES_CAPABILITY,
      ...(keepsTokens ? [TOKEN_RENEWAL_CAPABILITY] : []),
    ],
    limits: { max_uploads: config.maxUploads, parallel_parts: config.parallelParts },
    labels: { ...config.labels },
    default_file_path: config.files[0] ?? null,
    running,
  };
}

/** Identifies this program. Must never change, because the hashes must stay the same. */
const APPLICATION_ID = '6f1d2c0a-7b0e-4a57-9d0c-5d2f6a3be8c1';
const ID = /^[0-9a-f-]{32,36}$/;

/**
 * Distinguishes this machine from another one with the same token. The machine id is confidential (machine-id(5)) and
 * must not leave the machine, so a hash keyed to this program is sent, as in sd_id128_get_machine_app_specific(3). Linux
 * only: other systems have no boot id in a file.
 */
export function hostIds(
  read: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): Hello['host'] {
  try {
    const machine = read('/etc/machine-id').trim();
    const boot = read('/proc/sys/kernel/random/boot_id').trim();
    return ID.test(machine) && ID.test(boot) ? { machine: hashOf(machine), boot: hashOf(boot) } : undefined;
  } catch {
    return undefined;
  }
}

/** The ids are secrets of 128 random bits and serve as the key of the hash. */
function hashOf(id: string): string {
  return createHmac('sha256', id).update(APPLICATION_ID).digest('hex').slice(0, 32);
}
