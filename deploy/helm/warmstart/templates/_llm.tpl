{{/* The pod that runs vLLM, to serve or to compile. What differs between runtimes comes from their profile, not from here. */}}

{{/* Command and arguments: vLLM itself, or on Neuron our wrapper, which checks the compiled artefact before it starts vLLM. */}}
{{- define "warmstart.llm.command" -}}
{{- $profile := include "warmstart.runtime.profile" .root | fromJson }}{{ $known := include "warmstart.runtime.known" .root | fromJson }}
{{- if $profile.needs_compile }}
workingDir: /opt/warmstart # the wrapper's home; `python3 -m` finds it there whatever the image's PYTHONPATH says
command: [python3, -m, expander.runtimes, {{ .verb }}]
args:
  {{- range $name := list "profile" "model_path" "model_name" "model_revision" "served_name" "image" "tensor_parallel_size" "max_model_len" "max_num_seqs" "host" "port" }}
  - {{ printf "--%s=%s" (replace "_" "-" $name) (get $known $name) | quote }}
  {{- end }}
  - --expect-key={{ include "warmstart.runtime.key" .root }}
{{- else }}
command: {{ toJson $profile.command }}
args:
  {{- range $profile.args }}
  - {{ include "warmstart.runtime.filled" (dict "text" . "known" $known) | quote }}
  {{- end }}
{{- with $profile.environment }}
env: # no WORLD_SIZE: tensor parallelism hangs when it is set (aws-neuron-sdk 1163)
  {{- range $name, $value := . }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Memory is requested and limited alike, since /dev/shm counts as memory too; devices are whole. */}}
{{- define "warmstart.llm.resources" -}}
{{- $profile := include "warmstart.runtime.profile" .root | fromJson }}{{ $shape := include "warmstart.runtime.shape" .root | fromJson }}
{{- $room := get $shape .verb }}{{ $limits := dict "memory" $room.memory }}
{{- if $shape.devices }}{{ $_ := set $limits $profile.device_resource (int $shape.devices) }}{{ end }}
{{- toYaml (merge (deepCopy .own) (dict "requests" (merge (dict "cpu" $room.cpu) $limits) "limits" $limits)) }}
{{- end }}

{{/* "yes" where vLLM runs in this release, empty where there is no LLM or an external one. */}}
{{- define "warmstart.llm.deployed" -}}
{{- if and .Values.llm.profile (ne .Values.llm.profile "external") }}yes{{ end -}}
{{- end }}

{{/* On Neuron /health says 200 while the device hangs (vLLM 36960), so there the wrapper asks for a token; elsewhere the image has no wrapper. */}}
{{- define "warmstart.llm.liveness" -}}
{{- $profile := include "warmstart.runtime.profile" . | fromJson }}{{ $known := include "warmstart.runtime.known" . | fromJson }}
{{- if $profile.needs_compile }}
exec:
  command: [python3, -m, expander.runtimes, pulse, {{ printf "--url=http://127.0.0.1:%s/v1" $known.port | quote }}, {{ printf "--model=%s" $known.served_name | quote }}]
periodSeconds: 60
timeoutSeconds: 45
{{- else }}
httpGet: {path: /health, port: http}
periodSeconds: 15
timeoutSeconds: 10
{{- end }}
failureThreshold: 4
{{- end }}
