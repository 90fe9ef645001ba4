{{/* What a service is told: its settings as environment, its secrets by reference. */}}

{{/* Names and values of the ConfigMap. A number goes through JSON, because 8388608 would else be written 8.388608e+06. */}}
{{- define "warmstart.service.settings" -}}
{{- $prefix := include "warmstart.service.of" . | upper }}{{ $values := .root.Values }}
{{ $prefix }}_HOST: "0.0.0.0"
{{ $prefix }}_PORT: {{ include "warmstart.port" . | quote }}
{{ $prefix }}_STATE_DIR: /state
{{ $prefix }}_DRAIN_DELAY_S: {{ $values.drain.delaySeconds | quote }}
{{ $prefix }}_DRAIN_TIMEOUT_S: {{ $values.drain.timeoutSeconds | quote }}
{{- if eq .component "gateway" }}
{{- range $other := list "encoder" "expander" }}
GATEWAY_{{ upper $other }}_URL: {{ include "warmstart.url" (dict "root" $.root "component" $other) }}
{{- end }}
{{- $writer := include "warmstart.url" (dict "root" .root "component" "retriever") }}{{ $readers := include "warmstart.url" (dict "root" .root "component" "retriever-reader") }}
GATEWAY_RETRIEVER_URL: {{ ternary (printf "%s,%s" $readers $writer) $writer (eq (include "warmstart.readers" .root) "yes") }}
{{- else if include "warmstart.neuron" . }}
{{- include "warmstart.neuron.settings" .root }}
{{- else if eq .component "expander" }}
EXPANDER_TOPICS_PATH: /artefacts/topics.json
EXPANDER_ENCODER_URL: {{ include "warmstart.url" (dict "root" .root "component" "encoder") }}
{{- if $values.llm.profile }}
EXPANDER_LLM_URL: {{ ternary (printf "%s/v1" (include "warmstart.url" (dict "root" .root "component" "llm"))) $values.llm.url (eq (include "warmstart.llm.deployed" .root) "yes") | quote }}
EXPANDER_LLM_MODEL: {{ $values.llm.model.name | quote }}
EXPANDER_LLM_PROFILE: {{ $values.llm.profile }}
{{- end }}
{{- end }}
{{- range $key, $value := (include "warmstart.service.own" . | fromJson).settings }}
{{ $prefix }}_{{ upper $key }}: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}

{{- define "warmstart.service.env" -}}
{{- $values := .root.Values }}
- {name: OMP_NUM_THREADS, value: "1"} # the services schedule threads of their own; more would fight over the CPUs
- {name: OPENBLAS_NUM_THREADS, value: "1"}
{{- if include "warmstart.neuron" . }}
- {name: HOME, value: /tmp} # the Neuron runtime keeps files of its own
{{- else if and (eq .component "encoder") (not (hasKey $values.services.encoder.settings "threads")) }}
- name: ENCODER_THREADS # without a CPU limit it would start one thread per CPU of the node
  valueFrom: {resourceFieldRef: {resource: requests.cpu}}
{{- else if and (eq .component "gateway") $values.postgresql.existingSecret }}
- name: GATEWAY_PROFILES_URL
  valueFrom: {secretKeyRef: {name: {{ $values.postgresql.existingSecret | quote }}, key: {{ $values.postgresql.key | quote }}}}
{{- else if and (eq .component "retriever") $values.milvus.existingSecret }}
- name: RETRIEVER_MILVUS_URL
  valueFrom: {secretKeyRef: {name: {{ $values.milvus.existingSecret | quote }}, key: {{ $values.milvus.key | quote }}}}
{{- else if eq .component "expander" }}
{{- if $values.llm.existingSecret }}
- name: EXPANDER_LLM_API_KEY
  valueFrom: {secretKeyRef: {name: {{ $values.llm.existingSecret | quote }}, key: {{ $values.llm.existingSecretKey | quote }}}}
{{- end }}
{{- if $values.redis.existingSecret }}
- name: EXPANDER_CACHE_URL
  valueFrom: {secretKeyRef: {name: {{ $values.redis.existingSecret | quote }}, key: {{ $values.redis.key | quote }}}}
{{- end }}
{{- else if and (include "warmstart.service.stores" .) $values.objectStorage.endpointUrl }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ $values.objectStorage.endpointUrl | quote }}}
{{- end }}
{{- end }}
