package org.effnetlite.demo.classify

import android.Manifest.permission.CAMERA
import org.effnetlite.demo.GREEN
import org.effnetlite.demo.R
import org.effnetlite.demo.RED
import org.effnetlite.demo.TestCameras
import org.effnetlite.demo.camera.CameraState
import org.effnetlite.demo.camera.Why
import org.effnetlite.demo.encoded
import org.effnetlite.demo.idle
import org.effnetlite.demo.offer
import org.effnetlite.demo.plain
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf

/** What the main screen does where it may not or cannot use a camera. */
class CameraAccessTest : MainScreenCase() {
    @Test
    fun permissionDenied() {
        shadowOf(app).denyPermissions(CAMERA)
        startReady()
        val asked = shadowOf(activity).lastRequestedPermission
        assertEquals(listOf(CAMERA), asked.requestedPermissions.toList())
        assertTrue("no camera while Android asks", cameras.made.isEmpty())
        shadowOf(app.packageManager).setShouldShowRequestPermissionRationale(CAMERA, true)
        answer(granted = false)
        assertEquals("The camera is not allowed", text(R.id.notice_title))
        assertEquals("Allow the camera", text(R.id.notice_action))
        // A photo works without.
        pick(app.offer("frog.png", plain(GREEN).encoded()))
        awaitBest("tree frog")
        click(R.id.live)
        assertEquals("The camera is not allowed", text(R.id.notice_title))
        click(R.id.notice_action)
        shadowOf(app).grantPermissions(CAMERA)
        answer(granted = true)
        assertNotNull(cameras.open)
        assertFalse(shown(R.id.notice))
    }

    @Test
    fun permissionDeniedForGood() {
        shadowOf(app).denyPermissions(CAMERA)
        startReady()
        answer(granted = false)
        click(R.id.notice_action)
        val opened = shadowOf(activity).nextStartedActivity
        while (shadowOf(activity).peekNextStartedActivity() != null) {
            shadowOf(activity).nextStartedActivity
        }
        assertNotNull(opened)
        assertEquals("Open settings", text(R.id.notice_action))
        // Allowed there, and back.
        controller.pause().stop()
        shadowOf(app).grantPermissions(CAMERA)
        controller.start().resume()
        idle()
        assertNotNull(cameras.open)
    }

    @Test
    fun turningWhileAndroidAsksAsksOnce() {
        shadowOf(app).denyPermissions(CAMERA)
        startReady()
        val before = shadowOf(activity).lastRequestedPermission
        assertNotNull(before)
        turn()
        assertNull("asked a second time", shadowOf(activity).lastRequestedPermission)
        shadowOf(app).grantPermissions(CAMERA)
        answer(granted = true)
        assertNotNull(cameras.open)
    }

    @Test
    fun noCamera() {
        app.cameras = TestCameras(present = false)
        startReady()
        assertEquals("No camera", text(R.id.notice_title))
        assertFalse(shown(R.id.notice_action))
        pick(app.offer("tractor.png", plain(RED).encoded()))
        awaitBest("tractor")
    }

    @Test
    fun anotherAppTakesTheCamera() {
        startReady()
        cameras.open!!.fail(CameraState.Failed(Why.TAKEN, ""))
        assertEquals("The camera does not work", text(R.id.notice_title))
        click(R.id.notice_action)
        assertNotNull(cameras.open)
        assertEquals(2, cameras.made.size)
        assertFalse(shown(R.id.notice))
    }
}
