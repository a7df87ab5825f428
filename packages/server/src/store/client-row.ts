import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { Client } from '../domain/clients/client.ts';
import type { ClientsTable, SessionsTable } from './schema.ts';

const capabilitiesSchema = z.array(z.string());
const labelsSchema = z.record(z.string(), z.string());

export type ClientRow = Selectable<ClientsTable> & Pick<SessionsTable, 'epoch' | 'connectedSince'>;

export function fromClientRow(row: ClientRow): Client {
  const { os, arch, hostname, capabilities, labels, ...rest } = row;
  return {
    ...rest,
    platform: { os, arch, hostname },
    capabilities: capabilitiesSchema.parse(JSON.parse(capabilities)),
    labels: labelsSchema.parse(JSON.parse(labels)),
  };
}
