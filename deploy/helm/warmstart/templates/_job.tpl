{{/* The pod of an offline job: the pipelines image, one command, the gateway's address. Knows no Service but the gateway. */}}

{{- define "warmstart.job.pod" -}}
{{- $values := .root.Values }}
metadata:
  labels:
    {{- include "warmstart.podLabels" . | nindent 4 }}
    {{- if .writes }}{{ include "warmstart.artefacts.label" . | nindent 4 }}{{ end }}
spec:
  {{- include "warmstart.pod" (dict "root" .root "component" "pipelines" "nodeSelector" $values.pipelines.nodeSelector "tolerations" $values.pipelines.tolerations) | nindent 2 }}
  {{- if and .writes (include "warmstart.artefacts.oneNode" .root) }}
  affinity: {{- include "warmstart.artefacts.together" .root | nindent 4 }}
  {{- end }}
  restartPolicy: Never
  securityContext: {{- include "warmstart.podSecurity" . | nindent 4 }}
  containers:
    - name: {{ .component }}
      image: {{ include "warmstart.image" (dict "root" .root "component" "pipelines") }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command: [python, -m, pipelines, {{ .job }}]
      args:
        - --gateway={{ include "warmstart.url" (dict "root" .root "component" "gateway") }}
        {{- range .args }}
        - {{ . | quote }}
        {{- end }}
      env:
        - name: OPENBLAS_NUM_THREADS # without a CPU limit it would start one thread per CPU of the node
          valueFrom: {resourceFieldRef: {resource: requests.cpu}}
      resources: {{- toYaml $values.pipelines.resources | nindent 8 }}
      securityContext: {{- include "warmstart.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if .writes }}
        - {name: artefacts, mountPath: /artefacts}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if .writes }}
    - name: artefacts
      persistentVolumeClaim: {claimName: {{ include "warmstart.artefacts" .root }}}
    {{- end }}
{{- end }}
