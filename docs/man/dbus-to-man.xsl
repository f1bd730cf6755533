<?xml version="1.0" encoding="UTF-8"?>
<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->
<!-- Makes org.vgpu.Mediator1(5) from the contract, dbus/org.vgpu.Mediator1.xml. What
     the contract has no place for, the page's frame and the errors, is here. -->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:doc="http://www.freedesktop.org/dbus/1.0/doc.dtd"
                exclude-result-prefixes="doc">
  <xsl:output method="text" encoding="UTF-8"/>
  <xsl:strip-space elements="*"/>

  <xsl:variable name="emits">org.freedesktop.DBus.Property.EmitsChangedSignal</xsl:variable>

  <!-- A paragraph: a sentence a line, as mdoc(7) wants it. -->
  <xsl:template name="sentences">
    <xsl:param name="text"/>
    <xsl:choose>
      <xsl:when test="contains($text, '. ')">
        <xsl:value-of select="substring-before($text, '. ')"/>
        <xsl:text>.&#10;</xsl:text>
        <xsl:call-template name="sentences">
          <xsl:with-param name="text" select="substring-after($text, '. ')"/>
        </xsl:call-template>
      </xsl:when>
      <xsl:otherwise>
        <xsl:value-of select="$text"/>
        <xsl:text>&#10;</xsl:text>
      </xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <xsl:template match="doc:doc">
    <xsl:for-each select="doc:para">
      <xsl:if test="position() &gt; 1">.Pp&#10;</xsl:if>
      <xsl:call-template name="sentences">
        <xsl:with-param name="text" select="normalize-space(.)"/>
      </xsl:call-template>
    </xsl:for-each>
  </xsl:template>

  <!-- ==== The listing, as "busctl introspect" has it in its own way ==== -->

  <xsl:template match="method|signal" mode="listing">
    <xsl:variable name="indent"
                  select="substring('                                                ',
                                    1, string-length(@name) + 7)"/>
    <xsl:value-of select="concat('      ', @name, '(')"/>
    <xsl:for-each select="arg">
      <xsl:if test="position() &gt; 1">
        <xsl:value-of select="concat(',&#10;', $indent)"/>
      </xsl:if>
      <xsl:choose>
        <xsl:when test="@direction = 'in'">in  </xsl:when>
        <xsl:when test="@direction = 'out'">out </xsl:when>
      </xsl:choose>
      <xsl:value-of select="concat(@type, ' ', @name)"/>
    </xsl:for-each>
    <xsl:text>);&#10;</xsl:text>
  </xsl:template>

  <xsl:template match="property" mode="listing">
    <xsl:if test="annotation[@name = $emits]">
      <xsl:value-of select="concat('      @', $emits, '(&quot;', annotation[@name = $emits]/@value,
                                   '&quot;)&#10;')"/>
    </xsl:if>
    <xsl:text>      </xsl:text>
    <xsl:choose>
      <xsl:when test="@access = 'read'">readonly </xsl:when>
      <xsl:otherwise>readwrite </xsl:otherwise>
    </xsl:choose>
    <xsl:value-of select="concat(@type, ' ', @name, ';&#10;')"/>
  </xsl:template>

  <xsl:template name="listing">
    <xsl:param name="path"/>
    <xsl:value-of select="concat('.Bd -literal&#10;node ', $path, ' {&#10;  interface ', @name,
                                 ' {&#10;')"/>
    <xsl:if test="method">    methods:&#10;</xsl:if>
    <xsl:apply-templates select="method" mode="listing"/>
    <xsl:if test="signal">    signals:&#10;</xsl:if>
    <xsl:apply-templates select="signal" mode="listing"/>
    <xsl:if test="property">    properties:&#10;</xsl:if>
    <xsl:apply-templates select="property" mode="listing"/>
    <xsl:text>  };&#10;};&#10;.Ed&#10;</xsl:text>
  </xsl:template>

  <!-- ==== Members ==== -->

  <xsl:template match="method|signal">
    <xsl:value-of select="concat('.It Fn ', @name)"/>
    <xsl:for-each select="arg">
      <xsl:text> "</xsl:text>
      <xsl:if test="@direction">
        <xsl:value-of select="concat(@direction, ' ')"/>
      </xsl:if>
      <xsl:value-of select="concat(@type, ' ', @name, '&quot;')"/>
    </xsl:for-each>
    <xsl:text>&#10;</xsl:text>
    <xsl:apply-templates select="doc:doc"/>
  </xsl:template>

  <xsl:template match="property">
    <xsl:value-of select="concat('.It Va ', @name, ' Pq Vt ', @type, '&#10;')"/>
    <xsl:apply-templates select="doc:doc"/>
    <xsl:choose>
      <xsl:when test="annotation[@name = $emits and @value = 'const']">It never changes.&#10;</xsl:when>
      <xsl:when test="annotation[@name = $emits and @value = 'false']"/>
      <xsl:otherwise>A change is announced.&#10;</xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <xsl:template name="members">
    <xsl:param name="heading"/>
    <xsl:param name="members"/>
    <xsl:if test="$members">
      <xsl:value-of select="concat('.Ss ', $heading, '&#10;.Bl -tag -width Ds&#10;')"/>
      <xsl:apply-templates select="$members"/>
      <xsl:text>.El&#10;</xsl:text>
    </xsl:if>
  </xsl:template>

  <xsl:template match="interface">
    <xsl:variable name="kind" select="substring-after(@name, 'org.vgpu.Mediator1.')"/>
    <xsl:variable name="path">
      <xsl:choose>
        <xsl:when test="$kind = 'VM'">/org/vgpu/Mediator1/vm/web1</xsl:when>
        <xsl:when test="$kind = 'Pool'">/org/vgpu/Mediator1/pool/A</xsl:when>
        <xsl:when test="$kind = 'Session'">/org/vgpu/Mediator1/session/7</xsl:when>
        <xsl:otherwise>/org/vgpu/Mediator1</xsl:otherwise>
      </xsl:choose>
    </xsl:variable>
    <xsl:variable name="title">
      <xsl:choose>
        <xsl:when test="$kind = 'VM'">VM OBJECTS</xsl:when>
        <xsl:when test="$kind = 'Pool'">POOL OBJECTS</xsl:when>
        <xsl:when test="$kind = 'Session'">SESSION OBJECTS</xsl:when>
        <xsl:otherwise>THE MANAGER OBJECT</xsl:otherwise>
      </xsl:choose>
    </xsl:variable>

    <xsl:value-of select="concat('.Sh ', $title, '&#10;')"/>
    <xsl:apply-templates select="doc:doc"/>
    <xsl:call-template name="listing">
      <xsl:with-param name="path" select="$path"/>
    </xsl:call-template>
    <xsl:call-template name="members">
      <xsl:with-param name="heading">Methods</xsl:with-param>
      <xsl:with-param name="members" select="method"/>
    </xsl:call-template>
    <xsl:call-template name="members">
      <xsl:with-param name="heading">Signals</xsl:with-param>
      <xsl:with-param name="members" select="signal"/>
    </xsl:call-template>
    <xsl:call-template name="members">
      <xsl:with-param name="heading">Properties</xsl:with-param>
      <xsl:with-param name="members" select="property"/>
    </xsl:call-template>
  </xsl:template>

  <!-- ==== The page ==== -->

  <xsl:template match="/node">
    <xsl:text>.\" SPDX-License-Identifier: LGPL-2.1-or-later
.\" Made from org.vgpu.Mediator1.xml by dbus-to-man.xsl: change those.
.Dd November 24, 2026
.Dt ORG.VGPU.MEDIATOR1 5
.Os vgpu-mediator
.Sh NAME
.Nm org.vgpu.Mediator1
.Nd the D-Bus interface of vgpu-mediatord
.Sh DESCRIPTION
.Xr vgpu-mediatord 8
runs the GPU requests of virtual machines.
On the system bus it is
.Li org.vgpu.Mediator1 ,
where it tells what it does and can be told what to do.
.Xr vgpuctl 1
is the command for it, and
.Xr busctl 1
shows it too.
.Pp
There is one object for the service, one for each VM, one for each pool and one for each CUDA session.
The first implements
.Li org.freedesktop.DBus.ObjectManager
as well: its
.Fn GetManagedObjects
gives all properties of all VMs, pools and sessions in one call, and its signals
.Fn InterfacesAdded
and
.Fn InterfacesRemoved
come with those of the Manager below.
.Pp
Priorities are the strings
.Dq high ,
.Dq medium
and
.Dq low .
All times are in microseconds.
Properties are read-only: what can be changed has a method, which asks polkit.
A change that somebody made is announced by
.Fn PropertiesChanged
of
.Li org.freedesktop.DBus.Properties ;
what moves with every request is not, and is there to be asked for.
What a guest causes
.Pq Li Connected , LeaderPID , RingEntries , WindowSize
is announced at most once a second for each VM.
Of VMs that nobody registered, at most ten a second are announced.
.Pp
An answer about all VMs
.Po
.Fn GetManagedObjects ,
.Fn ListVMs ,
and
.Fn Introspect
of
.Li /org/vgpu/Mediator1/vm
.Pc
is made in pieces, between the requests of VMs.
What changes meanwhile is announced again behind it.
Four such calls of a connection can wait for their answers.
</xsl:text>
    <xsl:apply-templates select="interface"/>
    <xsl:text>.Sh AUTHORIZATION
Everybody may read.
Root, and the user that the mediator runs as, may change everything.
Of others polkit is asked, for one of these actions:
.Bl -tag -width Ds
.It Li org.vgpu.mediator1.manage-vms
What a VM may use, its pauses and quarantine, and the end of its sessions.
.It Li org.vgpu.mediator1.register-vm
Registering and unregistering VMs.
.It Li org.vgpu.mediator1.manage-pools
Pausing pools, and resetting the statistics of all.
.It Li org.vgpu.mediator1.reload
Reading the configuration again.
.El
.Pp
By default all of them want an administrator's password.
A rule sees the name of the VM as
.Li action.lookup("vm")
and that of the method as
.Li action.lookup("method") .
An example lets members of group libvirt change what VMs may use:
.Bd -literal -offset indent
# cp /usr/share/doc/vgpu-mediator/examples/60-vgpu-mediator-libvirt.rules \e
      /etc/polkit-1/rules.d/
.Ed
.Pp
No request of a VM waits while somebody types.
Four calls of a connection, and four of a user, can wait for polkit at once.
Root needs no such place.
.Sh BUS ERRORS
Beside the usual errors of D-Bus, and with a message that names the value in question:
.Bl -tag -width Ds
.It Li org.vgpu.Mediator1.Error.NoSuchVM
No VM of this name, number or process is known.
.It Li org.vgpu.Mediator1.Error.NoSuchPool
No pool of this name is configured.
.It Li org.vgpu.Mediator1.Error.NoSuchSession
There is no CUDA session of this number.
.It Li org.vgpu.Mediator1.Error.InvalidPriority
The priority is none of the three words.
.It Li org.vgpu.Mediator1.Error.InvalidName
The name is empty, too long, or has characters that cannot be seen; the message names the first of them.
.It Li org.vgpu.Mediator1.Error.InvalidUUID
The UUID is none, or is all zeros.
.It Li org.vgpu.Mediator1.Error.InvalidLimit
There is no such limit, setting or fact, or its value is out of range or of another type.
.It Li org.vgpu.Mediator1.Error.VMExists
A VM of this name has another UUID, or one of this UUID another name.
.It Li org.vgpu.Mediator1.Error.VMIDTaken
Another VM has the number that was asked for.
.It Li org.vgpu.Mediator1.Error.NotRegistered
The VM is known only for as long as it is connected, so that nothing lasting can be said of it.
.It Li org.vgpu.Mediator1.Error.NotKept
The change is in effect, but could not be written to disk, so that the next start of the service or of the VM
undoes it; the message says why.
.It Li org.vgpu.Mediator1.Error.Unreadable
A file of the configuration cannot be read; the message names it.
.It Li org.freedesktop.DBus.Error.AccessDenied
polkit says no, or is not there.
.It Li org.freedesktop.DBus.Error.LimitsExceeded
Too many calls of this caller wait for polkit, or for an answer about all VMs.
.It Li org.freedesktop.DBus.Error.InteractiveAuthorizationRequired
The user would have to authenticate, and the call does not allow that anybody is asked.
.El
.Sh EXAMPLES
All about a VM:
.Bd -literal -offset indent
$ busctl introspect org.vgpu.Mediator1 /org/vgpu/Mediator1/vm/web1
.Ed
.Pp
Set its priority, until it is unregistered:
.Bd -literal -offset indent
# busctl call org.vgpu.Mediator1 /org/vgpu/Mediator1 \e
      org.vgpu.Mediator1.Manager SetVMPriority ssb web1 low true
.Ed
.Sh SEE ALSO
.Xr busctl 1 ,
.Xr vgpuctl 1 ,
.Xr sd_bus_path_encode 3 ,
.Xr mediator.conf 5 ,
.Xr polkit 8 ,
.Xr vgpu-mediatord 8
</xsl:text>
  </xsl:template>
</xsl:stylesheet>
