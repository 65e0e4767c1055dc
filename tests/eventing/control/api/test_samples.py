"""Every field that Knative's own samples use, in objects like theirs: accepted, and strictly."""

import pytest
import yaml

import sources.kafka
import sources.ping
import sources.rabbitmq.kind
from eventing.control.kind import of

KINDS = (sources.kafka, sources.ping, sources.rabbitmq.kind)  # imported for their kinds

SAMPLES = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: no-spec, annotations: {eventing.knative.dev/broker.class: MTChannelBasedBroker}}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: full, annotations: {eventing.knative.dev/broker.class: Kafka}}
spec:
  config: {apiVersion: v1, kind: ConfigMap, name: kafka-broker-config, namespace: knative-eventing}
  delivery:
    deadLetterSink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: d}, audience: a}
    retry: 5
    backoffPolicy: exponential
    backoffDelay: PT5S
    timeout: PT10S
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: attributes, annotations: {rabbitmq.eventing.knative.dev/parallelism: "10"}}
spec:
  broker: default
  filter: {attributes: {type: dev.knative.samples.helloworld, badwordfilter: good}}
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: a, namespace: b}, uri: /insert}
  delivery: {retry: 4, backoffPolicy: linear, backoffDelay: PT0.2S, format: json}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: dialects}
spec:
  broker: default
  filters:
  - {exact: {type: a}}
  - any: [{prefix: {type: a}}, {all: [{suffix: {type: a}}, {not: {cesql: "type LIKE 'a%'"}}]}]
  subscriber: {uri: "http://example.com/"}
---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: ping}
spec:
  schedule: "*/2 * * * *"
  timezone: Europe/Vienna
  contentType: text/plain
  dataBase64: aGVsbG8=
  ceOverrides: {extensions: {colour: blue}}
  sink: {ref: {apiVersion: flows.knative.dev/v1, kind: Sequence, name: s}}
---
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata: {name: kafka, labels: {kafkasources.sources.knative.dev/key-type: int}}
spec:
  consumerGroup: group
  bootstrapServers: ["my-cluster.kafka:9092"]
  topics: [a, b]
  consumers: 50
  initialOffset: earliest
  ordering: unordered
  delivery: {retry: 10, timeout: PT1S}
  net:
    sasl:
      enable: true
      user: {secretKeyRef: {name: k, key: user}}
      password: {secretKeyRef: {name: k, key: password}}
      type: {secretKeyRef: {name: k, key: type, optional: true}}
    tls:
      enable: true
      cert: {secretKeyRef: {name: k, key: user.crt}}
      key: {secretKeyRef: {name: k, key: user.key}}
      caCert: {secretKeyRef: {name: k, key: ca.crt}}
  sink: {uri: "http://example.com/"}
---
apiVersion: sources.knative.dev/v1alpha1
kind: RabbitmqSource
metadata: {name: rabbit}
spec:
  rabbitmqClusterReference: {connectionSecret: {name: s}, namespace: n}
  rabbitmqResourcesConfig: {predeclared: true, exchangeName: e, queueName: q, vhost: v, parallelism: 100}
  delivery: {retry: 5, backoffPolicy: linear, backoffDelay: PT1S}
  serviceAccountName: a
  sink: {uri: "http://example.com/"}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: rich
  labels: {networking.knative.dev/visibility: cluster-local}
  annotations:
    serving.knative.dev/rollout-duration: 380s
    networking.knative.dev/http-protocol: redirected
    networking.knative.dev/disable-external-domain-tls: "true"
spec:
  template:
    metadata:
      name: rich-one
      creationTimestamp: null
      labels: {app: a}
      annotations:
        autoscaling.knative.dev/class: kpa.autoscaling.knative.dev
        autoscaling.knative.dev/metric: rps
        autoscaling.knative.dev/target: "150"
        autoscaling.knative.dev/minScale: "1"
        autoscaling.knative.dev/max-scale: "100"
        autoscaling.knative.dev/targetBurstCapacity: "-1"
        autoscaling.knative.dev/window: 40s
        autoscaling.knative.dev/panic-window-percentage: "20.0"
        autoscaling.knative.dev/panic-threshold-percentage: "150.0"
        autoscaling.knative.dev/scale-down-delay: 15m
        autoscaling.knative.dev/activation-scale: "5"
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: 1m5s
        autoscaling.knative.dev/metric-aggregation-algorithm: weightedExponential
        features.knative.dev/http-full-duplex: Enabled
        queue.sidecar.serving.knative.dev/cpu-resource-request: "1"
        serving.knative.dev/progress-deadline: 60s
    spec:
      serviceAccountName: a
      containerConcurrency: 50
      timeoutSeconds: 300
      responseStartTimeoutSeconds: 200
      idleTimeoutSeconds: 100
      enableServiceLinks: false
      imagePullSecrets: [{name: pull}]
      containers:
      - name: user-container
        image: ghcr.io/knative/helloworld-go:latest
        imagePullPolicy: Always
        command: [/bin/run]
        args: ["-v"]
        workingDir: /work
        ports: [{name: http1, containerPort: 8080, protocol: TCP}]
        env:
        - {name: TARGET, value: World}
        - {name: SECRET, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}
        - {name: CONFIG, valueFrom: {configMapKeyRef: {name: c, key: k}}}
        envFrom: [{prefix: A_, configMapRef: {name: c}}, {secretRef: {name: s}}]
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: "1", memory: 1Gi}}
        readinessProbe: {httpGet: {path: /ready, port: 8080, httpHeaders: [{name: A, value: b}]}}
        livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 5, initialDelaySeconds: 1}
        startupProbe: {exec: {command: ["true"]}, periodSeconds: 1}
        securityContext:
          runAsUser: 65532
          runAsNonRoot: true
          readOnlyRootFilesystem: true
          allowPrivilegeEscalation: false
          seccompProfile: {type: RuntimeDefault}
          capabilities: {drop: [ALL]}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
        volumeMounts:
        - {name: secret, mountPath: /secret, readOnly: true, subPath: a}
        - {name: all, mountPath: /all}
        - {name: scratch, mountPath: /scratch}
      volumes:
      - {name: secret, secret: {secretName: s, defaultMode: 420, items: [{key: a, path: b, mode: 256}]}}
      - name: all
        projected:
          defaultMode: 420
          sources:
          - {configMap: {name: c, items: [{key: a, path: b}]}}
          - {serviceAccountToken: {path: t, audience: a, expirationSeconds: 600}}
      - {name: scratch, emptyDir: {medium: Memory, sizeLimit: 10Mi}}
  traffic:
  - {revisionName: rich-zero, percent: 50, tag: current}
  - {tag: latest, latestRevision: true, percent: 50}
"""


@pytest.mark.parametrize("sample", list(yaml.safe_load_all(SAMPLES)),
                         ids=lambda sample: sample["metadata"]["name"])
async def test_sample(api, sample):
    """Strict validation knows every field, and nothing but Knative's own advice is warned of."""
    plural = of(sample["apiVersion"], sample["kind"]).plural
    path = f"/apis/{sample['apiVersion']}/namespaces/default/{plural}?fieldValidation=Strict"

    status, made, headers = await api("POST", path, sample)

    assert status == 201, made["message"]
    assert "unknown" not in headers.get("warning", "")


async def test_a_sample_that_names_too_much(api):
    """The documentation's KafkaSource has a block that its kind has not: left out, as on Kubernetes."""
    path = "/apis/sources.knative.dev/v1/namespaces/default/kafkasources"
    sample = next(each for each in yaml.safe_load_all(SAMPLES) if each["kind"] == "KafkaSource")
    sample["spec"]["resources"] = {"limits": {"cpu": "1"}}

    status, made, headers = await api("POST", path, sample)

    assert (status, "resources" in made["spec"]) == (201, False)
    assert 'unknown field \\"spec.resources\\"' in headers["warning"]
