/** A third-party store. It is installed and started by `test/stores/NAME.sh`. */
export interface RealStore {
  readonly name: string;
  /** Pinned in its script; Ceph is Debian's. */
  readonly version: string;
  /** Main port of the program; its other ports follow. */
  readonly port: number;
}

export const realStores: readonly RealStore[] = [
  { name: 'ceph', version: 'Ceph 16 (Debian 12)', port: 17480 },
  { name: 'versitygw', version: 'versitygw 1.8.0', port: 17490 },
  { name: 'seaweedfs', version: 'SeaweedFS 2026-11-09 (7506e5f)', port: 17500 },
  { name: 'localstack', version: 'LocalStack 4.14.0', port: 17510 },
  { name: 'moto', version: 'moto 5.2.5', port: 17520 },
  { name: 's3proxy', version: 'S3Proxy 2.9.0', port: 17530 },
];
