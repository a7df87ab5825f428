import type { ClientStatus, ClientSummary } from '@backhaul/protocol';
import type { Client } from '../domain/clients/client.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import { isoTime, toUploadRecord } from './upload-record.ts';

export function toClientSummary(client: Client): ClientSummary {
  return {
    client_id: client.clientId,
    connected: client.connectedSince !== null,
    connected_since: isoTime(client.connectedSince),
    // Its socket is watched; only the end of a session is written down.
    last_seen_at: isoTime(client.connectedSince === null ? client.lastSeenAt : Date.now()),
    agent_version: client.agentVersion,
    platform: client.platform,
    labels: { ...client.labels },
    default_file_path: client.defaultFilePath,
  };
}

export function toClientStatus(status: {
  client: Client;
  activeUploads: readonly Upload[];
  lastUpload: Upload | undefined;
}): ClientStatus {
  return {
    ...toClientSummary(status.client),
    active_uploads: status.activeUploads.map(toUploadRecord),
    last_upload: status.lastUpload === undefined ? null : toUploadRecord(status.lastUpload),
  };
}
