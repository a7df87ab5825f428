import type { z } from 'zod';
import type { Setting } from './setting.ts';
import {
  limitSettings,
  listeningSettings,
  logSettings,
  proxySettings,
  tlsSettings,
} from './process-settings.ts';
import { objectStoreSettings, stateSettings, uploadSettings } from './storage-settings.ts';
import { tokenSettings } from './token-settings.ts';

/**
 * All settings of the server by heading. `--help`, `.env.example` and `docs/configuration.md` are generated from these
 * tables, in this order.
 */
const groups = {
  'Object store': objectStoreSettings,
  Uploads: uploadSettings,
  Tokens: tokenSettings,
  State: stateSettings,
  Listening: listeningSettings,
  Limits: limitSettings,
  TLS: tlsSettings,
  Proxies: proxySettings,
  Logging: logSettings,
} as const;

const settings = {
  ...objectStoreSettings,
  ...uploadSettings,
  ...tokenSettings,
  ...stateSettings,
  ...listeningSettings,
  ...limitSettings,
  ...tlsSettings,
  ...proxySettings,
  ...logSettings,
};

/** The settings by heading, in the order of the tables. */
export const settingGroups: readonly { readonly heading: string; readonly names: readonly SettingName[] }[] =
  Object.entries(groups).map(([heading, rows]) => ({ heading, names: Object.keys(rows) as SettingName[] }));

type Table = typeof settings;
export type SettingName = keyof Table;

/** Undefined only for a setting without a default. */
export type SettingValues = {
  readonly [Name in SettingName]:
    | z.output<Table[Name]['schema']>
    | (Table[Name] extends { readonly default: string } ? never : undefined);
};

export const settingNames = Object.keys(settings) as SettingName[];

/** The row of the table, as the general type with optional fields. */
export function settingOf(name: SettingName): Setting {
  return settings[name];
}

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}
